// What a build makes of shaders, which are loaded when they are used, and of packages that a user may not have installed.
import { readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { rgb } from 'd3-color';
import { interpolateInferno } from 'd3-scale-chromatic';
import { globSync } from 'tinyglobby';

/**
 * Shaders and snippets that are needed together, by what runs them; the first pack that fits has the shader. What detectors run
 * on a kind of adapter is tested.
 */
const PACKS = [
  ['peaks', /^peak_/],
  ['region', /^image_warp/],
  ['frames', /^image_from_texture|^swap_red_blue|^heatmap\./],
  [
    'training',
    /_grad|^adam|^hard_|^dropout|^fake_quantize|^flip_|^quantile_|^record_losses|^winograd_dy|^image_luma|^avg_pool2d|^sum_|random/,
  ],
  ['filters', /^map_(blur|location)/],
  ['bank', /^nearest_/],
  ['matrix', /matrix/],
  ['halves', /^winograd_halves|^halves_/],
  ['fallback', /_direct\.|^qconv2d_tile|^activation_range/],
  [
    'cpu-integers',
    /^qconv2d_(rows|lanes)|^pad_words|^pool_words|^winograd_(stored|integer|fused)|^unpack_|winogradIntegers/,
  ],
  ['gpu-integers', /^qconv2d_word|^store_resized|dot4/],
  ['integers', /^store_|^snippets\/q/],
  ['cpu', /_(rows|lanes)\.|^winograd_distance|^map_combine|^channel_distance\.|winogradSums/],
  [
    'convolution',
    /^winograd_(input|output|weights)\.|winogradP|winogradT|winograd\.wgsl|^pack_weights|^snippets\/(block|grid|workgroup)/,
  ],
  ['gpu-convolution', /^conv2d_(tile|fold)|^winograd_product_block/],
  ['gpu-detector', /_resized\.|_mean_|_shared\.|^difference_|^pointwise/],
  ['common', /./],
];

/** The pack of a file below `shaders/`. */
export const packOf = (file) => PACKS.find(([, pattern]) => pattern.test(file))[0];
const shaderFiles = () =>
  globSync('shaders/**/*.wgsl').map((file) => file.replaceAll('\\', '/').slice('shaders/'.length));

/** WGSL without comments and indentation: the source explains it, this is run. */
function withoutComments(text) {
  return text
    .split('\n')
    .map((line) => line.replace(/\/\/.*$/, '').trim())
    .filter((line) => line !== '')
    .join('\n');
}

function packText(pack) {
  const own = shaderFiles().filter((file) => packOf(file) === pack);
  const texts = own.map((file) => [file, withoutComments(readFileSync(join('shaders', file), 'utf8'))]);
  return `export const texts = ${JSON.stringify(Object.fromEntries(texts))};\n`;
}

const loader = (file, pack) => `export default () => import("${pack}").then(({ texts }) => texts["${file}"]);\n`;

/** A module per shader, which loads its text, and a module per pack. @returns paths and texts */
export function shaderModules() {
  const up = (file) => '../'.repeat(file.split('/').length - 1) || './';
  return [
    ...shaderFiles().map((file) => [`${file}.js`, loader(file, `${up(file)}packs/${packOf(file)}.js`)]),
    ...PACKS.map(([pack]) => [`packs/${pack}.js`, packText(pack)]),
  ];
}

/** The same for bundles by esbuild. */
export const shaderPacks = {
  name: 'shader-packs',
  setup(build) {
    const root = join(process.cwd(), 'shaders');
    build.onLoad({ filter: /\.wgsl$/ }, ({ path }) => {
      const file = relative(root, path).replaceAll('\\', '/');
      return { contents: loader(file, `wgsl-pack:${packOf(file)}`), resolveDir: dirname(path) };
    });
    build.onResolve({ filter: /^wgsl-pack:/ }, ({ path }) => ({
      path: `shaders-${path.slice('wgsl-pack:'.length)}`,
      namespace: 'wgsl-pack',
    }));
    build.onLoad({ filter: /.*/, namespace: 'wgsl-pack' }, ({ path }) => ({
      contents: packText(path.slice('shaders-'.length)),
    }));
  },
};

/** `src/math/inferno.ts` with its values as text: what they are computed with is 40 times as large. */
export function colorTable() {
  const bytes = Array.from({ length: 256 }, (_, i) => rgb(interpolateInferno(i / 255))).flatMap(({ r, g, b }) => [
    r,
    g,
    b,
  ]);
  const text = Buffer.from(bytes).toString('base64');
  return `export const INFERNO = /* @__PURE__ */ Uint8Array.from(atob("${text}"), (c) => c.charCodeAt(0));\n`;
}

export const COLOR_TABLE = /[\\/]math[\\/]inferno\.ts$/;

/** The same for bundles by esbuild. */
export const colorTables = {
  name: 'color-tables',
  setup(build) {
    build.onLoad({ filter: COLOR_TABLE }, () => ({ contents: colorTable() }));
  },
};

/** What is imported of packages that only Node needs. */
const PEERS = {
  webgpu: ['create', 'globals'],
  sharp: ['default'],
  tinyglobby: ['glob'],
  'csv-parse/sync': ['CsvError', 'parse'],
  '@observablehq/plot': 'Plot',
  linkedom: ['parseHTML'],
  'cli-table3': ['default'],
  'cli-progress': ['Presets', 'SingleBar'],
};

/** The names that are imported of a package, undefined for one that every user has. */
export function peersOf(name) {
  const names = PEERS[name];
  if (typeof names !== 'string') return names;
  const texts = globSync('src/**/*.ts')
    .map((file) => readFileSync(file, 'utf8'))
    .filter((text) => text.includes(`from '${name}'`));
  return [...new Set(texts.flatMap((text) => [...text.matchAll(/\bPlot\.([a-z]\w*)/g)].map(([, used]) => used)))];
}

function peerText(name, loadPeer) {
  const exported = peersOf(name).map((each) =>
    each === 'default' ? 'export default module.default;' : `export const ${each} = module.${each};`,
  );
  return [
    `import { loadPeer } from "${loadPeer}";`,
    `const module = await loadPeer(() => import("${name}"));`,
    ...exported,
    '',
  ].join('\n');
}

/** A module that imports a package, or says how to install it. */
export function peerModule(name) {
  return { path: `dist/node/peers/${name.replaceAll('/', '-')}.js`, text: peerText(name, '../peers.js') };
}

/** The same for bundles by esbuild. */
export const optionalPeers = {
  name: 'optional-peers',
  setup(build) {
    const names = Object.keys(PEERS).map((name) => name.replaceAll('/', '\\/'));
    build.onResolve({ filter: new RegExp(`^(${names.join('|')})$`) }, ({ path, namespace, kind }) => {
      if (namespace === 'optional-peer' || kind !== 'import-statement') return { path, external: true };
      return { path, namespace: 'optional-peer' };
    });
    build.onLoad({ filter: /.*/, namespace: 'optional-peer' }, ({ path }) => ({
      contents: peerText(path, './src/node/peers.ts'),
      resolveDir: process.cwd(),
      loader: 'js',
    }));
  },
};
