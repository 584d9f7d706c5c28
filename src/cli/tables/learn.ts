import {
  ALPHA,
  CATEGORY,
  checkpointOptions,
  DATASET,
  DRY_RUN,
  FOLDERS,
  GOOD,
  MAPS,
  OWN_ALPHA,
  trainingOptions,
} from './options.ts';
import type { Command } from './table.ts';

const demo: Command = {
  name: 'demo',
  purpose: 'learn',
  summary: 'generate images, learn, evaluate, draw: all of it in a minute or two',
  synopsis: '',
  about: ['Generates inspection images, learns from the good ones, evaluates, predicts one and draws a contact sheet.'],
  options: {
    part: { value: 'bracket|biscuit|denim', text: 'what is inspected', fallback: 'biscuit' },
    iterations: { value: 'N', text: 'training steps', fallback: '150' },
    out: { value: 'DIR', text: 'where everything goes', fallback: 'demo' },
  },
};

const generate: Command = {
  name: 'generate',
  purpose: 'learn',
  summary: 'write a data set of generated inspection images',
  synopsis: '-o DIR',
  about: ['Writes a data set of generated (not photographed) inspection images in the layout of MVTec AD.'],
  options: {
    output: { short: 'o', value: 'DIR', text: 'where the images go' },
    part: { value: 'bracket|biscuit|denim', text: 'what is inspected', fallback: 'bracket' },
    train: { value: 'N', text: 'good images to learn from', fallback: '200' },
    'test-good': { value: 'N', text: 'good images to test', fallback: '40' },
    'test-per-defect': { value: 'N', text: 'defective images of each kind', fallback: '15' },
    resolution: { value: 'PX', text: 'side of the square images', fallback: '256' },
    seed: { value: 'N', text: 'what the images are made from', fallback: '0' },
    force: { text: 'replace images that are there; without it, only those of equal settings' },
  },
};

const data: Command = {
  name: 'data',
  purpose: 'learn',
  summary: 'show how a data set is read, and what is left out',
  synopsis: 'DATA',
  about: [
    'What fit, eval and run would read of a data set: images, kinds of defects, the masks that match them, and everything that is left out, with its reason. Headers of all files are looked at; no GPU is needed.',
  ],
  options: { ...FOLDERS, category: CATEGORY, json: { text: 'every file by name' } },
};

const fit: Command = {
  name: 'fit',
  purpose: 'learn',
  summary: 'learn from images of good parts',
  synopsis: 'DATA -o MODEL.safetensors',
  about: [
    'Learns from the good parts of a data set: MVTec AD, LOCO or 3D layout, VisA, or a folder of images. A folder of several data sets gives a model each: -o is then a folder.',
  ],
  options: {
    output: { short: 'o', value: 'MODEL.safetensors', text: 'where the model goes' },
    good: GOOD,
    category: CATEGORY,
    ...trainingOptions('standard'),
    method: {
      value: 'student|nearest',
      text: 'student trains networks; nearest only remembers features of good parts, which takes seconds and shows what the teacher is worth',
      fallback: 'student',
    },
    vectors: { value: 'N', text: 'with --method nearest: features remembered at most', fallback: '1024' },
    from: { value: 'MODEL', text: 'start from the networks of a model of the same part, instead of random ones' },
    patience: {
      value: 'N',
      text: 'judge by planted defects on held-out images, 20 times on the way, keep the best, and stop when N looks in a row find nothing better; --iterations is then a limit',
    },
    border: {
      value: 'nearest|reflect',
      text: 'reflect scores the outer 16 px of the input, too, by mirroring the image there; nearest gives them the value of the nearest place that is scored',
      fallback: 'nearest',
    },
    tiles: {
      value: 'WxH',
      text: 'look at images of this size in tiles, for defects that are lost when images shrink to the input: teacher and student see tiles of the input that overlap as far as one cell looks, the autoencoder the whole image at its size',
    },
    folds: {
      value: 'N',
      text: 'take the threshold from all good images, where few are held out: N further trainings each leave out the images that they judge',
    },
    seed: { value: 'N', text: 'of weights, order and split of the images', fallback: '0' },
    teacher: { value: 'FILE', text: 'PDN weights as safetensors; those of the package by default' },
    alpha: ALPHA,
    region: {
      value: '"X,Y X,Y X,Y X,Y"',
      text: "look at this part of all images alone: where the networks' square has its upper left, upper right, lower right and lower left, in pixels of the first image; it may be turned and in perspective",
    },
    maps: { ...MAPS, text: `${MAPS.text}; border by default with --border reflect, else none` },
    ...checkpointOptions('MODEL.safetensors'),
    log: { value: 'FILE', text: 'losses and seconds as JSON lines; --resume goes on with them' },
    ...DRY_RUN,
  },
};

const distill: Command = {
  name: 'distill',
  purpose: 'learn',
  summary: 'make a teacher of the features of any ONNX network',
  synopsis: '--backbone FILE.onnx --layers A,B --images DIR -o TEACHER.safetensors',
  about: [
    'Teaches a PDN what an ONNX network makes of photographs, for `raad fit --teacher`: means over patches of 3 x 3 of the named layers, at the places of the PDN, all channels averaged down to its own. Photographs are looked at several times: parts of them, turned, mirrored, gray, in more and less contrast. A twentieth is held out, and says how much of the features the teacher explains.',
    'The network runs in onnxruntime-node, once for every look: features are kept in a folder.',
  ],
  options: {
    output: { short: 'o', value: 'TEACHER.safetensors', text: 'where the teacher goes' },
    backbone: { value: 'FILE.onnx', text: 'a network of one image, [1, 3, H, W] or [1, H, W, 3]' },
    layers: { value: 'A,B', text: 'names of values in its graph' },
    'backbone-side': { value: 'PX', text: 'side of its input; twice the resolution by default' },
    normalize: {
      value: 'imagenet|unit|symmetric',
      text: "its input: ImageNet's mean and deviation, 0..1, or -1..1",
      fallback: 'imagenet',
    },
    images: { value: 'DIR', text: 'photographs of any things, some hundred or more' },
    size: { value: 'xs|s|m', text: "the teacher's size", fallback: 's' },
    resolution: { value: 'PX', text: 'side at which it sees what the network sees', fallback: '256' },
    iterations: { value: 'N', text: 'training steps', fallback: '10000' },
    batch: { value: 'N', text: 'looks of a step', fallback: '4' },
    lr: { value: 'RATE', text: 'largest learning rate, after warming up and before half a cosine', fallback: '0.001' },
    views: { value: 'N', text: 'looks at every photograph', fallback: '4' },
    seed: { value: 'N', text: 'of weights, looks and their order', fallback: '0' },
    cache: { value: 'DIR', text: 'where features are kept; TEACHER.safetensors.features by default' },
    ...checkpointOptions('TEACHER.safetensors'),
    log: { value: 'FILE', text: 'losses and seconds as JSON lines; --resume goes on with them' },
  },
};

const maps: Command = {
  name: 'maps',
  purpose: 'learn',
  summary: 'choose what a model does to its map before it is scored',
  synopsis: 'MODEL DATA -o OUT',
  about: [
    'Gives a trained model another filter of its map, from good images that it was not trained on, and the threshold that belongs to it. DATA is the data set that the model was trained on.',
  ],
  options: {
    output: { short: 'o', value: 'OUT', text: 'where the model goes' },
    maps: { ...MAPS, fallback: 'auto' },
    alpha: OWN_ALPHA,
    ...DATASET,
  },
};

const threshold: Command = {
  name: 'threshold',
  purpose: 'learn',
  summary: 'set the threshold of a model anew from good parts of the line',
  synopsis: 'MODEL --good DIR -o OUT',
  about: [
    'Scores images of good parts that the model was not trained on, and takes the threshold from them: for another camera, light or batch of parts than it was calibrated with. Weights and maps stay.',
  ],
  options: {
    output: { short: 'o', value: 'OUT', text: 'where the model goes' },
    good: { value: 'DIR', text: 'images of good parts that the model was not trained on' },
    alpha: OWN_ALPHA,
  },
};

export const LEARN: readonly Command[] = [demo, generate, data, fit, maps, threshold, distill];
