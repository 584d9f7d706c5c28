import { UserError } from '../errors.ts';
import { type AllocateOptions, type Allocation, allocate, allocationOf } from '../hqs/allocate.ts';
import { allocateByTime } from '../hqs/timeBudget.ts';
import { type Arm, armRule, type PlanRule } from './arms.ts';
import { AVERAGE_BITS, type StudySettings } from './settings.ts';
import type { SharedArtifacts } from './shared.ts';

type Common = Pick<AllocateOptions, 'networks' | 'seed' | 'scores' | 'method'>;

/** The bit plans of the arms of one set and seed, each allocated once. */
export class Allocations {
  readonly #shared: Pick<SharedArtifacts, 'seed' | 'float' | 'scores' | 'errors' | 'timedPlan'>;
  readonly #settings: StudySettings;
  readonly #known = new Map<Arm, Allocation>();

  constructor(
    shared: Pick<SharedArtifacts, 'seed' | 'float' | 'scores' | 'errors' | 'timedPlan'>,
    settings: StudySettings,
  ) {
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
    const { networks } = float.state;
    const common = { networks, seed, scores: await this.#shared.scores(rule.scores), method: rule.method };
    const allocation = rule.size === 'time' ? await this.#byTime(common) : await this.#bySize(common, rule);
    this.#known.set(arm, allocation);
    return allocation;
  }

  async #bySize(common: Common, rule: PlanRule): Promise<Allocation> {
    const options = { ...this.#settings.allocation, ...(await this.#size(rule)) };
    const errors = options.mode === 'budget' ? this.#shared.errors() : undefined;
    return allocate({ ...common, ...options, errors });
  }

  async #byTime(common: Common): Promise<Allocation> {
    const { timeShare } = this.#settings;
    const budget = timeShare === undefined ? 'midway' : { share: timeShare };
    const plan = await this.#shared.timedPlan(async (timer) => {
      return (await allocateByTime({ ...common, errors: this.#shared.errors() }, budget, timer)).plan;
    });
    return allocationOf(common, plan);
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
