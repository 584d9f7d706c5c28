import { CATEGORY, DRY_RUN, FOLDERS, PRECISION } from './options.ts';
import type { Command } from './table.ts';

const predict: Command = {
  name: 'predict',
  purpose: 'inspect',
  summary: 'score images and draw where the defects are',
  synopsis: 'MODEL IMAGE... | MODEL --watch DIR | MODEL --frames WxH',
  about: [
    'Scores images, files or folders or patterns, and draws where the defects are. Folders and patterns leave out heat maps that were written before. An image that fails is named; all others are scored, and the exit code is 1.',
  ],
  options: {
    out: {
      value: 'DIR',
      text: 'where the heat maps go, one for each image (IMAGE.heatmap.png), the current folder by default',
    },
    'no-heatmap': { text: 'scores only' },
    precision: PRECISION,
    json: {
      text: 'a JSON line per image; drift compares all scores so far with those that the threshold comes from',
    },
    watch: {
      value: 'DIR',
      text: 'score the images of a folder and those that come, until stopped; no heat maps. What --scores lists is not scored again',
    },
    scores: { value: 'FILE.csv', text: 'of --watch: the list of all images so far', fallback: 'DIR.scores.csv' },
    frames: {
      value: 'WxH',
      text: 'score frames of RGB triples from the standard input, as of ffmpeg -i CAMERA -f rawvideo -pix_fmt rgb24 -; no heat maps',
    },
  },
};

const evaluation: Command = {
  name: 'eval',
  purpose: 'inspect',
  summary: 'measure a model on the test images of a data set',
  synopsis: 'MODEL DATA',
  about: [
    "Image AUROC, AP and F1-max, pixel AUROC and AP, AU-PRO (AU-sPRO for MVTec LOCO) on a data set's test images. A folder of data sets needs a folder of models, one CATEGORY.safetensors each, trained on the same training images.",
    'An image that fails is named; all others are evaluated, and the exit code is 1.',
  ],
  options: {
    ...FOLDERS,
    category: CATEGORY,
    out: { value: 'DIR', text: 'scores.csv, metrics.json and heatmaps/, one for each image' },
    precision: PRECISION,
    ...DRY_RUN,
    json: { text: 'metrics as JSON; with --dry-run, every file by name' },
  },
};

const attention: Command = {
  name: 'attention',
  purpose: 'inspect',
  summary: 'draw what each layer looks at differently',
  synopsis: 'MODEL IMAGE',
  about: [
    "Draws what each layer of teacher and student looks at differently (the paper's Figure 2): the image, the ground truth, and every layer's map with its separability, the AUROC of the map inside the mask against outside.",
  ],
  options: {
    mask: { value: 'FILE', text: 'ground truth of the image' },
    map: {
      value: 'attention|ridge',
      text: "attention (default): difference of the mean squared activations; ridge: residual of the teacher's channels regressed on the student's, fitted to --reference",
    },
    reference: { value: 'FILE', text: 'an image of a good part for ridge, the image itself by default' },
    output: { short: 'o', value: 'FILE.png', text: 'IMAGE.attention.png by default' },
  },
};

const bias: Command = {
  name: 'bias',
  purpose: 'inspect',
  summary: 'draw average heat maps; does a place stand out?',
  synopsis: 'MODEL DATA',
  about: [
    "Draws the average heat map of normal and of anomalous test images (the paper's Figure 1) and prints the bias index: variance over location of the mean normal map, divided by the variance of all normal maps. 0: no place stands out on average.",
    'An image that fails is named; the figures are of all others, and the exit code is 1.',
  ],
  options: {
    category: CATEGORY,
    output: { short: 'o', value: 'FILE.png', text: 'NAME.bias.png by default' },
  },
};

const info: Command = {
  name: 'info',
  purpose: 'inspect',
  summary: 'show what a model file holds',
  synopsis: 'MODEL',
  about: ['Says what a model file holds: of every convolution its widths, bytes and scales.'],
  options: { json: { text: 'as JSON' } },
};

const report: Command = {
  name: 'report',
  purpose: 'inspect',
  summary: 'turn the folder of a run into one HTML file',
  synopsis: 'DIR',
  about: [
    'One HTML file of a run that raad run left in DIR: metrics, curves, histograms, a gallery with the worst mistakes first, the bit plan, time and memory, and the settings that repeat it. It fetches nothing and stays below 5 MB.',
  ],
  options: { output: { short: 'o', value: 'FILE', text: 'DIR/report.html by default' } },
};

const web: Command = {
  name: 'web',
  purpose: 'inspect',
  summary: 'inspect, teach and check in a browser on this machine',
  synopsis: '',
  about: [
    "Serves the page that comes with the package to browsers on this machine: inspect pictures with a model, teach one, check and measure the browser's adapter. Pictures stay in the browser. Ctrl-C ends it.",
  ],
  options: { port: { value: 'N', text: 'where it is served, 0: any that is free', fallback: '8421' } },
};

export const INSPECT: readonly Command[] = [predict, evaluation, attention, bias, info, report, web];
