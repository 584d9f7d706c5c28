import { isRecord, parseJson } from '../checks/json.ts';
import { quote, UserError } from '../errors.ts';
import type { OtherSection } from './detectorState.ts';
import type { ModelHeader } from './modelHeader.ts';

/** Which fields of the header a section holds: its value has them, or is the only one. */
interface SectionRule {
  readonly version: number;
  readonly fields: readonly (keyof ModelHeader)[];
  readonly isField?: boolean;
  /** Whether a file without it is one. */
  readonly optional?: boolean;
  /** Whether a program that does not know it may leave it out. */
  readonly required: boolean;
}

const SECTIONS: Readonly<Record<string, SectionRule>> = {
  networks: { version: 1, fields: ['size', 'resolution', 'padding', 'preprocessing'], required: true },
  bank: { version: 1, fields: ['bank'], isField: true, optional: true, required: true },
  maps: { version: 1, fields: ['quantiles', 'placement'], required: true },
  region: { version: 1, fields: ['region'], isField: true, optional: true, required: true },
  tiles: { version: 1, fields: ['tiles'], isField: true, optional: true, required: true },
  filter: { version: 1, fields: ['filter'], isField: true, optional: true, required: true },
  threshold: { version: 1, fields: ['threshold'], isField: true, optional: true, required: true },
  calibration: { version: 1, fields: ['calibration'], isField: true, optional: true, required: false },
  quantization: { version: 1, fields: ['layers'], isField: true, optional: true, required: true },
  provenance: { version: 1, fields: ['provenance'], isField: true, required: false },
};

const FIX = 'Copy or make the file again.';
const NAME = /^[a-z][A-Za-z0-9-]{0,63}$/;

/** What the sections of a file of version 3 say. */
export interface ParsedSections {
  /** The fields of a header, whose values have not been checked yet. */
  readonly header: Readonly<Record<string, unknown>>;
  readonly others: ReadonlyMap<string, Omit<OtherSection, 'tensors'>>;
}

/**
 * @param text JSON: by name of the section, its version, whether a reader has to know it, and its value
 * @param name of the file, shown in messages
 * @throws UserError for a section that is malformed, missing, newer, or required and unknown
 */
export function parseSections(text: string, name: string): ParsedSections {
  const parsed = parseJson(text, `${name} is not usable: its list of sections`, FIX);
  if (!isRecord(parsed)) throw new UserError(`${name} gives its sections as ${quote(parsed)}.`, FIX);
  const header: Record<string, unknown> = {};
  const others = new Map<string, Omit<OtherSection, 'tensors'>>();
  for (const [section, entry] of Object.entries(parsed)) {
    const { version, required, value } = checkEntry(section, entry, name);
    const rule = Object.hasOwn(SECTIONS, section) ? SECTIONS[section]! : undefined;
    if (!rule) {
      if (required)
        throw new UserError(
          `${name} has the section ${quote(section)}, which this program does not know and may not leave out.`,
          'Update the program.',
        );
      others.set(section, { version, value });
      continue;
    }
    if (version > rule.version)
      throw new UserError(
        `${name} has the section ${section} in version ${version}, newer than the ${rule.version} that this program reads.`,
        'Update the program.',
      );
    Object.assign(header, rule.isField ? { [rule.fields[0]!]: value } : fieldsOf(section, rule, value, name));
  }
  const missing = Object.entries(SECTIONS).find(
    ([section, { optional }]) => !optional && !Object.hasOwn(parsed, section),
  );
  if (missing) throw new UserError(`${name} lacks the section ${missing[0]}.`, FIX);
  return { header, others };
}

function checkEntry(section: string, entry: unknown, name: string) {
  const wrong = (what: string) => new UserError(`${name} ${what} of the section ${quote(section)}.`, FIX);
  if (!NAME.test(section))
    throw new UserError(`${name} has a section of the name ${quote(section)}.`, 'It has to be letters and digits.');
  if (!isRecord(entry)) throw new UserError(`${name} gives the section ${quote(section)} as ${quote(entry)}.`, FIX);
  const { version, required, value, ...more } = entry;
  if (!Number.isSafeInteger(version) || !((version as number) >= 1)) throw wrong(`has no version ${quote(version)}`);
  if (typeof required !== 'boolean') throw wrong('does not say whether a reader has to know all');
  if (value === undefined) throw wrong('lacks the value');
  const unknown = Object.keys(more)[0];
  if (unknown !== undefined) throw wrong(`has the unknown field ${quote(unknown)}`);
  return { version: version as number, required, value };
}

function fieldsOf(section: string, { fields }: SectionRule, value: unknown, name: string) {
  if (!isRecord(value))
    throw new UserError(`${name} gives ${section} as ${quote(value)}.`, `It has to be an object. ${FIX}`);
  const unknown = Object.keys(value).find((field) => !(fields as readonly string[]).includes(field));
  // A field that is not understood may change what the others mean.
  if (unknown !== undefined) throw new UserError(`${name} has the unknown field ${quote(unknown)} in ${section}.`, FIX);
  return value;
}

/** The reverse of {@link parseSections}. */
export function sectionsText(header: ModelHeader, others: ReadonlyMap<string, OtherSection> = new Map()): string {
  const sections: Record<string, unknown> = {};
  for (const [section, { version, required, fields, isField }] of Object.entries(SECTIONS)) {
    const values = fields.map((field) => [field, header[field]] as const).filter(([, value]) => value !== undefined);
    if (values.length === 0) continue;
    sections[section] = { version, required, value: isField ? values[0]![1] : Object.fromEntries(values) };
  }
  for (const [section, { version, value }] of others) sections[section] = { version, required: false, value };
  return JSON.stringify(sections);
}

/** The name of the section that a tensor belongs to; undefined for those of the networks. */
export function sectionOf(tensor: string): string | undefined {
  const at = tensor.indexOf('/');
  return at < 0 ? undefined : tensor.slice(0, at);
}
