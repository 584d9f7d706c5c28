import type { Engine } from '../../src/engine/engine.ts';
import { input, Parameter } from '../../src/engine/graph.ts';
import { squaredDifference } from '../../src/kernels/elementwise.ts';
import { standardize } from '../../src/kernels/standardize.ts';
import { mean } from '../../src/kernels/sum.ts';
import type { Networks } from '../../src/networks/networks.ts';
import { optimizer } from '../../src/train/step.ts';
import type { Peer } from './peer.ts';

export const LEARNING_RATE = 1e-3;

/**
 * One step of the training recipe with plain means in place of the hard loss, dropout and color changes left out, so that
 * other engines can state it too: image, penalty image and changed image are the same. The teacher runs once a step for the
 * changed image; its features of the image itself are cached in training and here an input.
 * @param images [N, 3, H, W]
 * @returns a peer whose run is one step that ends in the four losses
 */
export async function trainingStep(engine: Engine, networks: Networks, images: Float32Array): Promise<Peer> {
  const { teacher, student, autoencoder, teacherMean, teacherStd, channels, side, mapSide } = networks;
  const batch = images.length / (3 * side * side);
  const x = input('x', [batch, 3, side, side]);
  const cached = input('features', [batch, channels, mapSide, mapSide]);
  const first = { channels: { start: 0, count: channels } };
  const second = { channels: { start: channels, count: channels } };
  // Inputs of their own, since equal subgraphs would be computed once.
  const penaltyImage = input('penalty', [batch, 3, side, side]);
  const augmented = input('augmented', [batch, 3, side, side]);
  const target = standardize(teacher.forward(augmented), teacherMean.node, teacherStd.node);
  const reconstruction = autoencoder.forward(augmented);
  const penaltyFeatures = student.forward(penaltyImage, first);
  const zero = new Parameter('zero', penaltyFeatures.type);
  const imitation = student.forward(augmented, second);
  const losses = [
    mean(squaredDifference(cached, student.forward(x, first)), 'loss.hard'),
    mean(squaredDifference(penaltyFeatures, zero.node), 'loss.penalty'),
    mean(squaredDifference(target, reconstruction), 'loss.autoencoder'),
    mean(squaredDifference(reconstruction, imitation), 'loss.studentAutoencoder'),
  ];
  const { effects } = optimizer(losses, networks.trained, { learningRate: LEARNING_RATE, decayAt: 2 ** 30 });
  const names = ['hard', 'penalty', 'autoencoder', 'studentAutoencoder'];
  const outputs = Object.fromEntries(names.map((name, i) => [name, losses[i]!]));
  const plan = await engine.compile({ outputs, effects });
  const features = new Float32Array(batch * channels * mapSide * mapSide);
  return {
    name: 'raad-webgpu',
    async run() {
      const result = await plan.run({ x: images, penalty: images, augmented: images, features }, names);
      return Float32Array.from(names, (name) => result[name]![0]!);
    },
  };
}
