import { GOOD } from '../data/dataset.ts';
import type { GalleryItem } from '../study/record.ts';
import { counted, isNumber } from './format.ts';
import { formatScore } from './heatmap.ts';
import { escaped } from './markup.ts';

/** What a verdict turned out to be. */
export const OUTCOMES = ['missed', 'false alarm', 'found', 'passed', 'not judged'] as const;
export type Outcome = (typeof OUTCOMES)[number];

/** An image of the gallery with how its verdict did. */
export interface JudgedItem {
  readonly item: GalleryItem;
  readonly outcome: Outcome;
  /** Of score and threshold; NaN without a threshold. */
  readonly distance: number;
}

/**
 * The gallery with the worst mistakes first: missed defects by how far they lie below the threshold and false alarms by how
 * far above, then right verdicts from the narrowest on. Without verdicts, the highest scores come first.
 */
export function worstFirst(gallery: readonly GalleryItem[], threshold: number | undefined): JudgedItem[] {
  const judged = gallery.map((item): JudgedItem => {
    const { score, defect } = item;
    const isAnomalous = item.isAnomalous ?? (isNumber(threshold) ? score > threshold : undefined);
    return { item, outcome: outcomeOf(defect, isAnomalous), distance: Math.abs(score - (threshold ?? Number.NaN)) };
  });
  return judged.sort((a, b) => {
    const [first, second] = [isMistake(a), isMistake(b)];
    if (first !== second) return first ? -1 : 1;
    const nearer = a.distance - b.distance;
    if (nearer) return first ? -nearer : nearer;
    return b.item.score - a.item.score;
  });
}

function outcomeOf(defect: string, isAnomalous: boolean | undefined): Outcome {
  if (isAnomalous === undefined) return 'not judged';
  if (defect === GOOD) return isAnomalous ? 'false alarm' : 'passed';
  return isAnomalous ? 'found' : 'missed';
}

function isMistake({ outcome }: JudgedItem): boolean {
  return outcome === 'missed' || outcome === 'false alarm';
}

/** The gallery as HTML, with as many pictures as fit. */
export interface GalleryHtml {
  readonly html: string;
  readonly shown: readonly JudgedItem[];
}

/**
 * Figures of the images whose pictures are there, in the given order, as long as they and their choices in
 * {@link galleryControls} fit.
 * @param pictures bytes of PNG, JPEG and WebP files by their name in the items
 * @param budget bytes that the HTML may take
 */
export function galleryFigures(
  items: readonly JudgedItem[],
  pictures: ReadonlyMap<string, Uint8Array>,
  budget: number,
): GalleryHtml {
  const figures: string[] = [];
  const shown: JudgedItem[] = [];
  const choices = new Set<string>();
  let left = budget;
  for (const judged of items) {
    const html = figure(judged, pictures, left);
    if (html === undefined) continue;
    const { outcome, item } = judged;
    const added = [outcome, item.defect].map(option).filter((choice) => !choices.has(choice));
    const bytes = Buffer.byteLength(html + added.join(''));
    if (bytes > left) continue;
    figures.push(html);
    shown.push(judged);
    for (const choice of added) choices.add(choice);
    left -= bytes;
  }
  return { html: figures.join(''), shown };
}

/** @returns undefined when a picture is missing, or is larger than what is left */
function figure(
  { item, outcome, distance }: JudgedItem,
  pictures: ReadonlyMap<string, Uint8Array>,
  left: number,
): string | undefined {
  const { name, defect, score } = item;
  const [image, mask, heatmap] = [item.image, item.mask, item.heatmap].map((file) => {
    const bytes = file === undefined ? undefined : pictures.get(file);
    return bytes && bytes.length < left ? dataUri(bytes) : undefined;
  });
  if (!image || !heatmap) return undefined;
  const layers = [
    { kind: 'image', uri: image, alt: `${name}: the image` },
    ...(mask ? [{ kind: 'mask', uri: mask, alt: `${name}: ground-truth mask` }] : []),
    { kind: 'heat map', uri: heatmap, alt: `${name}: heat map of the anomaly score` },
  ];
  const last = layers.length - 1;
  const pictured = layers.map(
    ({ kind, uri, alt }, i) =>
      `<img class="layer${i === last ? ' shown' : ''}" data-kind="${kind}" src="${uri}" alt="${escaped(alt)}" loading="lazy" decoding="async">`,
  );
  const stops = layers.map(({ kind }, i) => `<span${i === last ? ' class="on"' : ''}>${kind}</span>`);
  const margin = Number.isNaN(distance)
    ? ''
    : `, ${formatScore(distance)} ${outcome === 'found' || outcome === 'false alarm' ? 'above' : 'below'} the threshold`;
  return `<figure class="item card" data-outcome="${outcome}" data-defect="${escaped(defect)}">
<div class="view">${pictured.join('')}</div>
<div class="switch" style="--stops:${layers.length}"><input type="range" min="0" max="${last}" step="1" value="${last}" aria-label="Picture of ${escaped(name)}" aria-valuetext="heat map"><div class="stops" aria-hidden="true">${stops.join('')}</div></div>
<figcaption><span class="badge" data-outcome="${outcome}">${outcome}</span> <span class="defect">${escaped(defect)}</span><span class="name">${escaped(name)}</span><span class="score">score ${formatScore(score)}${margin}</span></figcaption>
</figure>
`;
}

/** Selects of what is shown, working on the figures through the page's script. */
export function galleryControls(items: readonly JudgedItem[]): string {
  const outcomes = OUTCOMES.filter((outcome) => items.some((item) => item.outcome === outcome));
  const defects = [...new Set(items.map(({ item }) => item.defect))].sort();
  const select = (id: string, label: string, options: readonly string[]) =>
    `<div><label for="${id}">${label}</label><select id="${id}">${options.join('')}</select></div>`;
  const everything = '<option value="">all</option>';
  return `<form class="controls" aria-label="Gallery">${[
    select('pick-outcome', 'Verdict', [everything, ...outcomes.map(option)]),
    select('pick-defect', 'Defect type', [everything, ...defects.map(option)]),
    select('pick-layer', 'Picture', ['heat map', 'mask', 'image'].map(option)),
  ].join('')}<output id="picked" aria-live="polite"></output></form>`;
}

function option(value: string): string {
  return `<option value="${escaped(value)}">${escaped(value)}</option>`;
}

/** How many images are shown, and of how many. */
export function galleryNote(shown: number, total: number): string {
  if (total === 0) return 'The run left no pictures.';
  const order = 'the worst mistakes first, then right verdicts from the narrowest on';
  if (shown === total) return `All ${counted(total, 'test image')}: ${order}.`;
  return `${shown} of ${counted(total, 'test image')}: ${order}. The others have no pictures or did not fit into this file.`;
}

function dataUri(bytes: Uint8Array): string | undefined {
  const type = mediaType(bytes);
  return type && `data:${type};base64,${Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64')}`;
}

/** Type of a picture that every browser shows, by its first bytes. */
export function mediaType(bytes: Uint8Array): string | undefined {
  const start = String.fromCharCode(...bytes.subarray(0, 12));
  if (start.startsWith('RIFF') && start.endsWith('WEBP')) return 'image/webp';
  if (start.startsWith('\x89PNG\r\n\x1a\n')) return 'image/png';
  return start.startsWith('\xff\xd8\xff') ? 'image/jpeg' : undefined;
}
