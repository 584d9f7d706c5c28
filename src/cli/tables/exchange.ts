import { ALPHA, CATEGORY, GOOD } from './options.ts';
import type { Command } from './table.ts';

const importTeacher: Command = {
  name: 'import-teacher',
  purpose: 'exchange',
  summary: 'read a teacher of another program',
  synopsis: 'FILE -o TEACHER.safetensors',
  about: [
    'Reads a teacher of another program for `raad fit --teacher`: a PyTorch state dict (teacher_small.pth), checkpoint or module, safetensors, ONNX, or a zip archive of these. Nothing in the file is executed.',
  ],
  options: {
    output: { short: 'o', value: 'TEACHER.safetensors', text: 'where the teacher goes' },
    size: { value: 'xs|s|m', text: 'where the file holds several' },
  },
};

const importDetector: Command = {
  name: 'import-detector',
  purpose: 'exchange',
  summary: 'read a detector of another program',
  synopsis: 'FILE... -o MODEL.safetensors',
  about: [
    "Reads a detector of another program: anomalib's model.ckpt or state dict, or teacher_final.pth, student_final.pth and autoencoder_final.pth of nelson1425's, or a zip archive of these. Nothing in the files is executed.",
  ],
  options: {
    output: { short: 'o', value: 'MODEL.safetensors', text: 'where the model goes' },
    calibrate: {
      value: 'DATA',
      text: 'the data set that it was trained on: what the files lack of statistics, and a threshold',
    },
    good: GOOD,
    category: CATEGORY,
    alpha: ALPHA,
    seed: { value: 'N', text: 'of the split of good images', fallback: '0' },
    placement: {
      value: 'exact|reference|anomalib',
      text: 'where maps lie on the image: exact, or as nelson1425 or anomalib place them',
    },
    padding: { value: 'none|zeros', text: 'of teacher and student; what the files say by default, else none' },
  },
};

const exporting: Command = {
  name: 'export',
  purpose: 'exchange',
  summary: 'write a detector for other programs',
  synopsis: 'MODEL --onnx FILE.onnx | --torch FILE.pth',
  about: [
    "Writes a detector for other programs. ONNX, opset 17: input RGB [batch, 3, side, side] in 0..1, outputs the anomaly map and its two parts on the network's grid. PyTorch: a state dict of anomalib's EfficientAdModel; of a teacher, one of a PDN.",
  ],
  options: {
    onnx: { value: 'FILE.onnx', text: 'where the ONNX model goes' },
    torch: { value: 'FILE.pth', text: 'where the state dict goes' },
    batch: { value: 'N', text: 'ONNX: images at once', fallback: '1' },
    names: {
      value: 'plain|sequential',
      text: "of a teacher's layers: conv1, conv2 (default), or 0, 3 as in a Sequential",
    },
  },
};

export const EXCHANGE: readonly Command[] = [importTeacher, importDetector, exporting];
