import { GOOD } from '../data/dataset.ts';
import { FPR_LIMITS } from '../evaluation/evaluate.ts';
import type { AllocationRow } from '../hqs/allocate.ts';
import { rocCurve } from '../metrics/ranking.ts';
import type { RunRecord, StepRecord } from '../study/record.ts';
import {
  bars,
  curveChart,
  DASHES,
  histogramChart,
  histogramScale,
  type Line,
  layerBars,
  layerScoreChart,
  spoken,
} from './charts.ts';
import {
  byteSize,
  counted,
  dateInWords,
  duration,
  fixed,
  isNumber,
  percent,
  percentage,
  threeDigits,
} from './format.ts';
import { galleryControls, galleryFigures, galleryNote, worstFirst } from './gallery.ts';
import { formatScore } from './heatmap.ts';
import { listedKinds } from './kinds.ts';
import { escaped } from './markup.ts';
import { SCRIPT, STYLE } from './page.ts';
import { commandLines, summarySentences, thresholdCounts } from './words.ts';

/** Bytes that a report stays below. */
export const REPORT_BYTES = 5_000_000;

/** For what is written around the gallery once it is known how much of it fits. */
const SLACK = 1000;

/**
 * A run as one HTML file that fetches nothing: metrics, charts, gallery, and what is needed to repeat it.
 * @param pictures files that the gallery's items name. Items without theirs are left out, and where the file would reach
 * {@link REPORT_BYTES}, so are the right verdicts and then the smallest mistakes
 */
export function reportHtml(record: RunRecord, pictures: ReadonlyMap<string, Uint8Array>): string {
  const judged = worstFirst(record.gallery, record.steps.at(-1)?.threshold?.value);
  const before = [summary(record), defectTypes(record), curves(record), scores(record)].join('');
  const after = [bitPlan(record), costs(record), repeating(record)].join('');
  const whole = (figures: string, shown: number, controls: string) => {
    const note = `<p class="note">${galleryNote(shown, judged.length)}</p>`;
    const content =
      shown === 0
        ? ''
        : `${controls}<div class="gallery">${figures}</div><button id="more" type="button" hidden></button>`;
    return page(record, `${before}${section('gallery', note + content)}${after}`);
  };
  const frame = Buffer.byteLength(whole('', judged.length, galleryControls([])));
  const { html, shown } = galleryFigures(judged, pictures, REPORT_BYTES - SLACK - frame);
  return whole(html, shown.length, galleryControls(shown));
}

const SECTIONS = {
  summary: 'Summary',
  defects: 'Defect types',
  curves: 'Curves',
  scores: 'Scores',
  gallery: 'Gallery',
  bits: 'Bit plan',
  cost: 'Time and memory',
  repeat: 'Repeat it',
} as const;

function section(id: keyof typeof SECTIONS, content: string): string {
  return `<section id="${id}" aria-labelledby="${id}-title"><h2 id="${id}-title">${SECTIONS[id]}</h2>${content}</section>\n`;
}

function page({ set, seed, settings, finished, ...record }: RunRecord, content: string): string {
  const { size, resolution } = settings.fit;
  const { goodImages, badImages } = record.steps[0]!.metrics;
  const images = [
    `${counted(record.trainImages, 'image')} to train on`,
    `${record.heldOutImages} held out`,
    `${goodImages} good and ${badImages} defective to test on`,
  ].join(', ');
  const links = Object.entries(SECTIONS).map(([id, title]) => `<a href="#${id}">${title}</a>`);
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>${escaped(set)}: anomaly detection report</title>
<style>${STYLE}</style>
</head>
<body>
<header>
<p class="kicker">Anomaly detection report</p>
<h1>${escaped(set)}</h1>
<p class="facts">PDN-${escaped(size.toUpperCase())} at ${resolution} × ${resolution}&nbsp;px, seed ${seed}, ${escaped(dateInWords(finished))}<br>${images}</p>
<nav aria-label="Sections">${links.join('')}</nav>
</header>
<main>
${content}</main>
<footer>Written by raad report. Everything is in this file; it fetches nothing.</footer>
<script>${SCRIPT}</script>
</body>
</html>
`;
}

/** A figure of every step that a table row shows. */
interface Figure {
  readonly label: string;
  readonly value: (step: StepRecord) => number | undefined;
  readonly show: (value: number) => string;
}

const inPercent = (share: number) => percentage(share);

function qualityFigures({ steps }: RunRecord): Figure[] {
  const overlap = overlapName(steps);
  const mistakes = (step: StepRecord) => thresholdCounts(step).mistakes;
  const figures: Figure[] = [
    { label: 'Image AUROC,\u00a0%', value: ({ result }) => result.metrics.auroc, show: inPercent },
    { label: 'Image AP,\u00a0%', value: ({ result }) => result.metrics.ap, show: inPercent },
    { label: 'Image F1-max,\u00a0%', value: ({ metrics }) => metrics.image?.f1Max, show: inPercent },
    ...FPR_LIMITS.map((limit, k) => ({
      label: `${overlap} to FPR ${limit},\u00a0%`,
      value: ({ metrics, result }: StepRecord) =>
        metrics.overlap?.areas[k] ?? (k === 0 ? result.metrics.overlap : undefined),
      show: inPercent,
    })),
    { label: 'Pixel AUROC,\u00a0%', value: ({ result }) => result.metrics.pixelAuroc, show: inPercent },
    { label: 'Pixel AP,\u00a0%', value: ({ result }) => result.metrics.pixelAp, show: inPercent },
    { label: 'Bias index of the maps', value: ({ result }) => result.metrics.biasIndex, show: (x) => fixed(x, 3) },
    { label: 'Threshold', value: ({ threshold }) => threshold?.value, show: formatScore },
    { label: 'Missed defects', value: (step) => mistakes(step)?.missed, show: String },
    { label: 'False alarms', value: (step) => mistakes(step)?.falseAlarms, show: String },
  ];
  return figures.filter(({ value }) => steps.some((step) => isNumber(value(step))));
}

function costFigures({ steps }: RunRecord): Figure[] {
  const float = steps.find(({ step }) => step === 'float');
  return [
    { label: 'Weights and scales', value: ({ result }) => result.size.weightBytes, show: byteSize },
    ...(float
      ? [
          {
            label: 'Share of the float weights',
            value: ({ result }: StepRecord) => float.result.size.weightBytes / result.size.weightBytes,
            show: (ratio: number) => (fixed(ratio, 1) === '1.0' ? '1' : `1/${fixed(ratio, 1)}`),
          },
        ]
      : []),
    { label: 'Mean width of a weight, bits', value: ({ result }) => result.size.averageBits, show: (x) => fixed(x, 2) },
    { label: 'Model file', value: ({ result }) => result.size.fileBytes, show: byteSize },
    { label: 'Memory on the device', value: ({ result }) => result.memoryBytes, show: byteSize },
    { label: 'Time per image', value: ({ result }) => result.timing.milliseconds, show: duration },
    {
      label: 'Float in turns with it',
      value: ({ result }) => result.timing.floatMilliseconds,
      show: duration,
    },
  ];
}

function summary(record: RunRecord): string {
  const { steps } = record;
  const row = ({ label, value, show }: Figure) => {
    const values = steps.map((step) => {
      const found = value(step);
      return `<td>${isNumber(found) ? show(found) : '–'}</td>`;
    });
    return `<tr><th scope="row">${label}</th>${values.join('')}</tr>`;
  };
  const head = steps.map(({ step }) => `<th scope="col">${escaped(step)}</th>`).join('');
  const body = [qualityFigures(record), costFigures(record)].map(
    (group) => `<tbody>${group.map(row).join('')}</tbody>`,
  );
  const lead = summarySentences(record).join(' ');
  return section(
    'summary',
    `<p class="lead">${escaped(lead)}</p>${tiles(record)}${table(
      'Summary of the steps',
      `<colgroup><col>${steps.map(() => '<col class="even">').join('')}</colgroup><thead><tr><th scope="col">Step</th>${head}</tr></thead>${body.join('')}`,
    )}`,
  );
}

/** The last step's most important figures, beside those of float. */
function tiles({ steps }: RunRecord): string {
  const last = steps.at(-1)!;
  const float = steps.find(({ step }) => step === 'float');
  const before = last === float ? undefined : float;
  const share = (label: string, of: (step: StepRecord) => number | undefined) => {
    const value = of(last);
    const old = before && of(before);
    return isNumber(value) ? tile(label, percent(value), isNumber(old) ? `float ${percent(old)}` : '') : '';
  };
  const { size, timing } = last.result;
  return `<dl class="tiles">${[
    share('Image AUROC', ({ result }) => result.metrics.auroc),
    share(overlapName(steps), ({ result }) => result.metrics.overlap),
    tile('Weights', byteSize(size.weightBytes), before ? `float ${byteSize(before.result.size.weightBytes)}` : ''),
    tile('Time per image', duration(timing.milliseconds), before ? `float ${duration(timing.floatMilliseconds)}` : ''),
  ].join('')}</dl>`;
}

function tile(label: string, value: string, change: string): string {
  return `<div class="card tile"><dt>${label}</dt><dd class="value">${value}</dd><dd class="change">${change}</dd></div>`;
}

/** A table that scrolls in its box when it is wider. */
function table(label: string, content: string): string {
  // Focusable, for the keyboard to scroll it.
  return `<div class="card scroll" role="region" aria-label="${escaped(label)}" tabindex="0"><table>${content}</table></div>`;
}

function defectTypes({ steps }: RunRecord): string {
  const overlap = overlapName(steps);
  const byKind = steps.map(({ metrics }) => new Map(metrics.defects.map((each) => [each.defect, each])));
  const kinds = [...new Set(byKind.flatMap((own) => [...own.keys()]))].map((defect) => ({
    defect,
    images: byKind.map((own) => own.get(defect)?.images).find(isNumber) ?? 0,
  }));
  if (kinds.length === 0) return section('defects', '<p class="note">There are no defective test images.</p>');
  const columns = [
    { name: 'Image AUROC,\u00a0%', of: ({ auroc }: { auroc?: number | undefined }) => auroc },
    {
      name: `${overlap} to FPR ${FPR_LIMITS[0]},\u00a0%`,
      of: ({ overlap }: { overlap?: { areas: readonly number[] } | undefined }) => overlap?.areas[0],
    },
  ].filter(({ of }) => steps.some(({ metrics }) => [metrics, ...metrics.defects].some((each) => isNumber(of(each)))));
  const figures = (of: (step: number, column: (typeof columns)[number]) => number | undefined) =>
    columns.flatMap((column) => steps.map((_, k) => `<td>${percentage(of(k, column))}</td>`)).join('');
  const { listed, others } = listedKinds(kinds);
  const rows = listed.map(({ defect, images }) => {
    const values = figures((step, { of }) => {
      const metrics = byKind[step]!.get(defect);
      return metrics && of(metrics);
    });
    return `<tr><th scope="row">${escaped(defect)}</th><td>${images}</td>${values}</tr>`;
  });
  const left =
    others > 0
      ? ` ${counted(others, 'type')} with fewer images ${others === 1 ? 'is' : 'are'} not listed; the last row counts them.`
      : '';
  const all = `<tr class="all"><th scope="row">all</th><td>${steps[0]!.metrics.badImages}</td>${figures(
    (step, { of }) => of(steps[step]!.metrics),
  )}</tr>`;
  const groups = columns.map(({ name }) => `<th class="group" scope="colgroup" colspan="${steps.length}">${name}</th>`);
  const names = columns.flatMap(() => steps.map(({ step }) => `<th scope="col">${escaped(step)}</th>`));
  return section(
    'defects',
    `<p class="note">Each type against all good test images.${left}</p>${table(
      'Metrics per defect type',
      `<thead><tr><td colspan="2"></td>${groups.join('')}</tr><tr><th scope="col">Defect type</th><th scope="col">Images</th>${names.join('')}</tr></thead><tbody>${rows.join('')}${all}</tbody>`,
    )}`,
  );
}

interface Curve extends Line {
  readonly area: number | undefined;
}

function curves({ steps }: RunRecord): string {
  const overlap = overlapName(steps);
  const roc = steps.flatMap(({ step, result, metrics }): Curve[] => {
    const curve = rocCurve(
      result.images.map(([, score]) => score),
      result.images.map(([defect]) => defect !== GOOD),
    );
    return curve ? [{ name: step, area: metrics.auroc, points: zipped(curve.fpr, curve.tpr) }] : [];
  });
  const pro = steps.flatMap(({ step, curve, metrics }): Curve[] =>
    curve ? [{ name: step, area: metrics.overlap?.areas[0], points: zipped(curve.fpr, curve.overlap) }] : [],
  );
  const charts = [
    roc.length === 0
      ? missing('ROC curve', 'It needs good and defective test images.')
      : chart(
          'ROC curve',
          curveLegend(roc),
          curveChart(roc, {
            label: `ROC curves. Area: ${spoken(roc)}.`,
            x: 'false-positive rate of images',
            y: 'true-positive rate',
            limit: 1,
            diagonal: true,
          }),
        ),
    pro.length === 0
      ? missing(`${overlap.slice(3)} curve`, 'It needs test images with masks.')
      : chart(
          `${overlap.slice(3)} curve`,
          curveLegend(pro),
          curveChart(pro, {
            label: `Mean overlap of defects against the false-positive rate of pixels, up to ${FPR_LIMITS[0]}. ${overlap}: ${spoken(pro)}.`,
            x: 'false-positive rate of pixels',
            y: 'mean overlap of defects',
            limit: FPR_LIMITS[0],
          }),
        ),
  ];
  const averaged = steps[0]!.result.layout === 'mvtec-loco' ? ', averaged over the kinds of anomaly' : '';
  return section(
    'curves',
    `<p class="note">All test images pooled. Areas are in percent${averaged}.</p><div class="charts">${charts.join('')}</div>`,
  );
}

function zipped(x: readonly number[], y: readonly number[]): Line['points'] {
  return x.map((value, i) => [value, y[i]!] as const);
}

function chart(title: string, about: string, svg: string): string {
  return `<figure class="card chart"><figcaption><h3>${title}</h3>${about}</figcaption>${svg}</figure>`;
}

function missing(title: string, why: string): string {
  return chart(title, `<p class="note">${why}</p>`, '');
}

function curveLegend(lines: readonly Curve[]): string {
  const entries = lines.map(({ name, area }) => {
    const sample = `<svg viewBox="0 0 24 8" aria-hidden="true"><path d="M0 4H24" fill="none" stroke="var(--${escaped(name)})" stroke-width="2.5" stroke-dasharray="${DASHES[name] ?? '1 0'}"/></svg>`;
    return `<li>${sample}${escaped(name)} <b>${percentage(area, 1)}</b></li>`;
  });
  return `<ul class="legend">${entries.join('')}</ul>`;
}

function scores({ steps }: RunRecord): string {
  const scale = histogramScale(steps.flatMap(({ result }) => result.images.map(([, score]) => score)));
  const charts = steps.map((step) => {
    const of = (isGood: boolean) =>
      step.result.images.filter(([defect]) => (defect === GOOD) === isGood).map(([, score]) => score);
    const { good, defective, mistakes } = thresholdCounts(step);
    const about = mistakes
      ? `${mistakes.missed} of ${counted(defective, 'defect')} missed, ${counted(mistakes.falseAlarms, 'false alarm')} in ${counted(good, 'good image')}`
      : `${counted(defective, 'defect')}, ${counted(good, 'good image')}, no threshold`;
    const svg = histogramChart({
      label: `Histogram of the scores after the step ${step.step}: ${about}.`,
      good: of(true),
      defective: of(false),
      scale,
      threshold: step.threshold?.value,
    });
    return chart(escaped(step.step), `<p class="note">${about}</p>`, svg);
  });
  return section(
    'scores',
    `<p class="note">Images per score: good ones upwards, defective ones downwards. Every step has a threshold of its own.</p><div class="charts">${charts.join('')}</div>`,
  );
}

function bitPlan({ allocation, steps }: RunRecord): string {
  if (allocation.length === 0) return section('bits', '<p class="note">The run has no bit plan.</p>');
  const { averageBits } = steps.at(-1)!.result.size;
  const bytes = allocation.reduce((sum, row) => sum + row.bytes, 0);
  const scored = allocation.some(({ score }) => isNumber(score));
  const words = (value: number) => (isNumber(value) ? formatScore(value) : '–');
  const list = (of: (row: AllocationRow) => string) => allocation.map((row) => `${row.layer} ${of(row)}`).join(', ');
  const barsOf = (of: (row: AllocationRow) => number, show: (value: number) => string) =>
    layerBars(
      allocation.map((row) => ({ name: row.layer, value: of(row), text: show(of(row)) })),
      list((row) => show(of(row))),
    );
  const charts = [
    chart(
      'Bits of a weight',
      '<p class="note">as stored</p>',
      barsOf(({ bits }) => bits, String),
    ),
    ...(scored
      ? [
          chart(
            'Score with its 95&nbsp;% interval',
            '<p class="note">– where a layer has none</p>',
            layerScoreChart(
              allocation,
              list(({ score }) => (isNumber(score) ? formatScore(score) : 'not scored')),
            ),
          ),
        ]
      : []),
    chart(
      'Bytes of weights and scales',
      '<p class="note">teacher and student together</p>',
      barsOf(({ bytes }) => bytes, byteSize),
    ),
  ];
  const rows = allocation.map(
    ({ layer, names, bits, score, low, high, bytes }) =>
      `<tr><th scope="row">${escaped(layer)}</th><td>${bits}</td><td>${words(score)}</td><td>${words(low)}</td><td>${words(high)}</td><td>${byteSize(bytes)}</td><td class="left">${escaped(names.join(', '))}</td></tr>`,
  );
  const heads = ['Layer', 'Bits', 'Score', 'Low', 'High', 'Bytes'].map((name) => `<th scope="col">${name}</th>`);
  return section(
    'bits',
    `<p class="note">${byteSize(bytes)} of weights and scales, ${threeDigits(averageBits)} bits a weight on average. A layer of one name in teacher and student has one width.</p><div class="charts">${charts.join('')}</div><details><summary>As a table</summary>${table(
      'Bit plan',
      `<thead><tr>${heads.join('')}<th scope="col" class="left">Networks</th></tr></thead><tbody>${rows.join('')}</tbody>`,
    )}</details>`,
  );
}

function costs({ steps, adapter }: RunRecord): string {
  const of = (title: string, value: (step: StepRecord) => number, show: (value: number) => string, note: string) => {
    const all = steps.map((step) => ({
      name: step.step,
      value: value(step),
      text: show(value(step)),
      fill: `var(--${step.step})`,
    }));
    const label = `${title}: ${all.map(({ name, text }) => `${name} ${text}`).join(', ')}.`;
    return chart(title, `<p class="note">${note}</p>`, bars(all, label));
  };
  const charts = [
    of('Time per image', ({ result }) => result.timing.milliseconds, duration, 'from image to map, median'),
    of('Memory on the device', ({ result }) => result.memoryBytes, byteSize, 'parameters and intermediate values'),
    of(
      'Weights and scales',
      ({ result }) => result.size.weightBytes,
      byteSize,
      'as stored, in the file and on the device',
    ),
  ];
  return section(
    'cost',
    `<p class="note">On ${escaped(adapter)}. Each step is timed in turns with the float network: compare within a run, not across machines.</p><div class="charts">${charts.join('')}</div>`,
  );
}

function repeating(record: RunRecord): string {
  const { set, seed, settings, versions, adapter, finished, steps } = record;
  const fact = (name: string, value: string) => `<div><dt>${escaped(name)}</dt><dd>${escaped(value)}</dd></div>`;
  const facts = [
    fact('Seed', String(seed)),
    fact('Adapter', adapter),
    fact('Finished', finished),
    ...Object.entries(versions).map(([name, version]) => fact(name, version)),
    ...steps.map(({ step, model }) => fact(`Model: ${step}`, model)),
  ];
  const commands = commandLines(record).map(
    (parts) => `<code>${parts.map((part) => `<span>${escaped(part)}</span>`).join(' ')}</code>`,
  );
  const places = settings.penalty === 'generated' ? '' : ' and the penalty images with their folder';
  return section(
    'repeat',
    `<p class="note">Replace DATA with the folder of the data set ${escaped(set)}${places}, DIR with a new folder. Equal settings, data and adapter give equal metrics.</p><pre class="card">${commands.join('\n')}</pre><dl class="card facts-list">${facts.join('')}</dl><h3>Settings</h3><pre class="card" tabindex="0" aria-label="Settings">${escaped(JSON.stringify({ seed, ...settings }, null, 2))}</pre>`,
  );
}

function overlapName(steps: readonly StepRecord[]): string {
  return steps.find(({ metrics }) => metrics.overlap)?.metrics.overlap?.metric ?? 'AU-PRO';
}
