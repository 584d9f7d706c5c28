import { UserError } from '../errors.ts';
import { type Allocation, allocate } from '../hqs/allocate.ts';
import { type Arm, armRule, type PlanRule } from './arms.ts';
import { AVERAGE_BITS, type StudySettings } from './settings.ts';
import type { SharedArtifacts } from './shared.ts';

/** The bit plans of the arms of one set and seed, each allocated once. */
export class Allocations {
  readonly #shared: Pick<SharedArtifacts, 'seed' | 'float' | 'scores' | 'errors'>;
  readonly #settings: StudySettings;
  readonly #known = new Map<Arm, Allocation>();

  constructor(shared: Pick<SharedArtifacts, 'seed' | 'float' | 'scores' | 'errors'>, settings: StudySettings) {
    this.#shared = shared;
    this.#settings = settings;
  }

  /** An arm's bit plan with the scores that it came from. @throws UserError for an arm that has none */
  async of(arm: Arm): Promise<Allocation> {
    const known = this.#known.get(arm);
    if (known) return known;
    const { plan: rule } = armRule(arm);
    if (!rule) throw new UserError(`the arm ${arm} has no bit plan.`, 'Use another arm.');
    const { seed, float } = this.#shared;
    const options = { ...this.#settings.allocation, ...(await this.#size(rule)) };
    const allocation = allocate({
      networks: float.state.networks,
      seed,
      ...options,
      ...(options.mode === 'budget' && { errors: this.#shared.errors() }),
      scores: await this.#shared.scores(rule.scores),
      method: rule.method,
    });
    this.#known.set(arm, allocation);
    return allocation;
  }

  /** What bounds an arm's size, where the settings do not. */
  async #size({ size }: PlanRule): Promise<StudySettings['allocation']> {
    if (size === 'hqs') return { limit: { bytes: (await this.of('hqs')).bytes } };
    if (size === 'average') {
      return { mode: 'budget', limit: { averageBits: this.#settings.averageBits ?? AVERAGE_BITS } };
    }
    return {};
  }
}
