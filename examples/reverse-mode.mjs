// Reverse mode: finds the kernel of a convolution from what it did to an image.
import { conv2d, Engine, gradient, input, mean, squaredDifference } from 'raad-webgpu/engine';
import { openDevice } from 'raad-webgpu/node';

const { device, close } = await openDevice();
const engine = new Engine({ device });
const kernel = input('kernel', [1, 1, 3, 3]);
const result = conv2d(input('image', [1, 1, 12, 12]), kernel, undefined);
const loss = mean(squaredDifference(result, input('wanted', [1, 1, 10, 10])));
const [slope] = gradient([loss], [kernel]);
const plan = await engine.compile({ outputs: { result, loss, slope } });

const image = Float32Array.from({ length: 144 }, (_, i) => Math.sin(i * i));
const hidden = Float32Array.of(-1, 0, 1, -2, 0, 2, -1, 0, 1);
const { result: wanted } = await plan.run({ image, kernel: hidden }, ['result']);
let guess = new Float32Array(9);
for (let step = 0; step <= 60; step++) {
  const values = await plan.run({ image, kernel: guess, wanted }, ['loss', 'slope']);
  if (step % 20 === 0) console.log(`step ${step}: loss ${values.loss[0].toExponential(1)}`);
  guess = guess.map((value, i) => value - 0.4 * values.slope[i]);
}
console.log(`kernel: ${Array.from(guess, (value) => value.toFixed(2)).join(' ')}`);
close();
