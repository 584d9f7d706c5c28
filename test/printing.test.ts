import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseHTML } from 'linkedom';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { printLine, printText, say, sayText } from '../src/cli/print.ts';
import { startProgress } from '../src/cli/progress.ts';
import { encodePng } from '../src/node/images.ts';
import { toCsv } from '../src/report/csv.ts';
import { REPORT_BYTES, reportHtml } from '../src/report/html.ts';
import { LISTED_KINDS, listedKinds } from '../src/report/kinds.ts';
import { escaped, markdown, visible, visibleLines } from '../src/report/markup.ts';
import { studyMarkdown } from '../src/report/study/tables.ts';
import { evaluationNotes, evaluationTable } from '../src/report/summary.ts';
import { metricsTable } from '../src/report/table.ts';
import { commandLine } from './support/commandLine.ts';
import { fakeResult } from './support/fakeCells.ts';
import { exampleRun } from './support/runRecord.ts';
import { temporaryFolder, writeTree } from './support/temporary.ts';

/** Clears the screen, sets a title, turns text around, ends a line. */
const HOSTILE = 'a\x1b[2J\x1b]0;title\x07\x9b31m\u202eb\u2066\r\nc\td\x7f\u2028';
/** What a terminal obeys. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: those are what is looked for.
const COMMANDS = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069\u2028\u2029]/;

afterEach(() => vi.restoreAllMocks());

describe('text for a terminal', () => {
  test('shows what would command it, and keeps all other letters', () => {
    expect(visible(HOSTILE)).toBe(
      'a\\u001b[2J\\u001b]0;title\\u0007\\u009b31m\\u202eb\\u2066\\r\\nc\\td\\u007f\\u2028',
    );
    for (let code = 0; code < 0x3000; code++) expect(visible(String.fromCharCode(code))).not.toMatch(COMMANDS);
    const plain = 'größe 検査 deck-01.png ──┤ é😀 ✓';
    expect(visible(plain)).toBe(plain);
    expect(visibleLines('a\n\tb\rc\x1b')).toBe('a\n\tb\\rc\\u001b');
  });

  test('is the same JSON as before', () => {
    const value = { [HOSTILE]: [HOSTILE] };
    const text = visibleLines(JSON.stringify(value, null, 2));
    expect(text).not.toMatch(COMMANDS);
    expect(JSON.parse(text)).toEqual(value);
  });

  test('leaves through four functions, each with the right line ends', () => {
    const printed: string[] = [];
    vi.spyOn(console, 'log').mockImplementation((text) => printed.push(`out ${text}`));
    vi.spyOn(console, 'error').mockImplementation((text) => printed.push(`err ${text}`));
    printLine('', HOSTILE);
    say(HOSTILE);
    printText('a\nb\x1b');
    sayText('a\nb\x1b');
    expect(printed).toEqual([
      `out \n${visible(HOSTILE)}`,
      `err ${visible(HOSTILE)}`,
      'out a\nb\\u001b',
      'err a\nb\\u001b',
    ]);
  });

  test('leaves nowhere else', () => {
    const source = fileURLToPath(new URL('../src', import.meta.url));
    const files = readdirSync(source, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'));
    expect(files.length).toBeGreaterThan(100);
    const printing = files.filter((file) =>
      /\bconsole\.|\bstd(out|err)\.write\(/.test(readFileSync(join(source, file), 'utf8')),
    );
    expect(printing).toEqual([join('cli', 'print.ts')]);
  });

  test('labels of progress are shown that way, too', () => {
    const error = vi.spyOn(console, 'error').mockImplementation(() => {});
    const progress = startProgress(`evaluating ${HOSTILE}`, 2, 'images');
    progress.update(2, HOSTILE);
    progress.stop();
    expect(error).toHaveBeenCalledOnce();
    expect(error.mock.calls[0]![0]).not.toMatch(COMMANDS);
    expect(error.mock.calls[0]![0]).not.toContain('\n');
  });

  test('every value of a table is one line', () => {
    const text = metricsTable([{ [HOSTILE]: HOSTILE, value: 1 }]);
    expect(text).not.toMatch(COMMANDS);
    expect(text.split('\n').length).toBe(metricsTable([{ name: 'a', value: 1 }]).split('\n').length);
  });
});

describe('names of files on the command line', () => {
  test.skipIf(process.platform === 'win32')('are shown and obeyed by nobody', async () => {
    const png = await encodePng({ width: 32, height: 32, data: new Uint8Array(3 * 32 * 32) });
    const [kind, name] = ['x\x1b[31m\u202ey', 'x\x1b[31m\ny'];
    const folder = writeTree(temporaryFolder(), {
      [`data/train/good/${kind}.png`]: png,
      [`data/test/good/1.png`]: png,
      [`data/test/${kind}/1.png`]: png,
      [`data/test/${kind}/${kind}.png`]: 'no image',
    });
    const { raad, ok } = commandLine(folder);
    const { stdout, stderr } = ok('data', 'data');
    expect(stdout + stderr).not.toMatch(COMMANDS);
    expect(stdout).toContain('x\\u001b[31m\\u202ey: 2 images');
    expect(ok('data', 'data', '--json').stdout).toContain('x\\u001b[31m\\u202ey');
    const missing = raad('info', `${name}.safetensors`);
    expect(missing.status).toBe(1);
    expect(missing.stderr).not.toMatch(COMMANDS);
    expect(missing.stderr.trim().split('\n').length).toBe(1);
    expect(raad(name).stderr).not.toMatch(COMMANDS);
  });
});

describe('text in files', () => {
  test('stays text in a spreadsheet', () => {
    const texts = ['=HYPERLINK("x")', '+1', '-1-2', '@a', '\tb', '\rc', 'd=e', "'f"];
    const lines = toCsv(
      ['=name', 'value'],
      texts.map((name) => ({ '=name': name, value: -1.5 })),
    ).split('\r\n');
    expect(lines[0]).toBe("'=name,value");
    expect(lines.slice(1, 5)).toEqual(['"\'=HYPERLINK(""x"")",-1.5', "'+1,-1.5", "'-1-2,-1.5", "'@a,-1.5"]);
    expect(lines[5]).toBe("'\tb,-1.5");
    expect(lines.slice(6, 9)).toEqual(['"\'\rc",-1.5', 'd=e,-1.5', "'f,-1.5"]);
  });

  test('is a number where it reads as one', () => {
    const rows = ['-3.30', '-1e-7', '0.5', '-', '-1+1'].map((snr) => ({ snr }));
    expect(toCsv(['snr'], rows)).toBe("snr\r\n-3.30\r\n-1e-7\r\n0.5\r\n'-\r\n'-1+1\r\n");
  });

  test('is no markup in Markdown', () => {
    expect(markdown('<b>&\n`a`|[x](y)*_z_ a\\')).toBe('&lt;b>&amp;\\\\n\\`a\\`\\|\\[x\\](y)\\*\\_z\\_ a\\\\');
    for (const plain of ['juice_bottle 2.0-a', '1x2 * 3 -> 4', '2 <- 3', '2~bpo12'])
      expect(markdown(plain)).toBe(plain);
    expect(['</', '<!', 'a<', '> b', '*a*', '_a'].map(markdown)).toEqual([
      '&lt;/',
      '&lt;!',
      'a&lt;',
      '&gt; b',
      '\\*a\\*',
      '\\_a',
    ]);
  });

  test('enters the study as text', () => {
    const set = '<img src=x onerror=alert(1)>|\n# b`';
    const results = (['float', 'uniform'] as const).flatMap((arm) =>
      [set, 'tile_a'].map((name) =>
        fakeResult({ set: name, seed: 0, arm, recalibrated: false }, '<script>\n| adapter'),
      ),
    );
    const text = studyMarkdown(results);
    expect(text).not.toMatch(/<|\n# b/);
    expect(text).toContain('&lt;img src=x onerror=alert(1)>\\|\\\\n# b\\`');
    expect(text).toContain('tile_a');
    const columns = (line: string) => line.replaceAll('\\|', '').split('|').length;
    for (const block of text.split('\n\n').filter((each) => each.startsWith('| ')))
      expect(new Set(block.trim().split('\n').map(columns)).size).toBe(1);
  });

  test('turns nothing around in HTML', () => {
    expect(escaped('a\u202eb<\x1b')).toBe('a\ufffdb&lt;\ufffd');
  });
});

describe('many kinds of defects', () => {
  test('are listed up to a number, the largest ones in their order', () => {
    const few = [{ images: 1 }, { images: 2 }];
    expect(listedKinds(few)).toEqual({ listed: few, others: 0 });
    const many = Array.from({ length: LISTED_KINDS + 50 }, (_, i) => ({ images: i % 5 === 0 ? 1 : 2, i }));
    const { listed, others } = listedKinds(many);
    expect(others).toBe(50);
    expect(listed).toEqual(many.filter(({ images }) => images === 2));
  });

  test('leave a report small, and it says how many are not listed', async () => {
    const { record, pictures } = await exampleRun(30, 96);
    const count = 100_000;
    const kinds = Array.from({ length: count }, (_, i) => `kind ${i}`);
    const steps = record.steps.map((step) => ({
      ...step,
      metrics: {
        ...step.metrics,
        defects: kinds.map((defect) => ({ ...step.metrics.defects[0]!, defect, images: 1 })),
      },
    }));
    const gallery = kinds
      .slice(0, 2000)
      .map((defect, i) => ({ ...record.gallery[i % record.gallery.length]!, defect }));
    const html = reportHtml({ ...record, steps, gallery }, pictures);
    expect(Buffer.byteLength(html)).toBeLessThan(REPORT_BYTES);
    const { document } = parseHTML(html);
    expect(document.querySelectorAll('#defects tbody tr').length).toBe(LISTED_KINDS + 1);
    expect(document.querySelector('#defects .note')?.textContent).toContain(
      `${(count - LISTED_KINDS).toLocaleString('en-GB')}\u00a0types with fewer images are not listed`,
    );
    const shown = new Set([...document.querySelectorAll('.item')].map((item) => item.getAttribute('data-defect')));
    expect(shown.size).toBeGreaterThan(10);
    expect(document.querySelectorAll('#pick-defect option').length).toBe(1 + shown.size);
    const evaluation = { metrics: { ...steps[0]!.metrics, branches: {} } } as never;
    expect(evaluationTable(evaluation).split('\n').length).toBe(LISTED_KINDS + 5);
    expect(evaluationNotes(evaluation)[0]).toBe(
      `${count - LISTED_KINDS} kinds of defects with fewer images are not listed; all counts them`,
    );
  });
});
