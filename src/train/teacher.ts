import type { Parameter } from '../engine/graph.ts';
import { UserError } from '../errors.ts';
import type { StoredTensor, TensorFile } from '../formats/safetensors.ts';
import type { Networks } from '../networks/networks.ts';
import type { Pdn } from '../networks/pdn.ts';

/**
 * Copies a teacher's weights (`conv1.weight`, `conv1.bias`, ...) into the networks.
 * @throws UserError naming the tensor that is missing, has another shape, or would teach nothing: values that are not finite,
 * weights that are all zero
 */
export function loadTeacher(networks: Networks, file: TensorFile, name: string): void {
  for (const parameter of networks.teacher.parameters) {
    const key = keyOf(parameter);
    const tensor = file.tensors.get(key);
    const shape = parameter.type.shape.join('x');
    if (!tensor || tensor.shape.join('x') !== shape || !(tensor.data instanceof Float32Array)) {
      const found = tensor ? `has shape ${tensor.shape.join('x')}` : 'is missing';
      throw new UserError(
        `teacher ${name}: ${key} ${found}, a PDN-${networks.size.toUpperCase()} teacher has ${shape}.`,
        'Choose the network size that fits the teacher, or another teacher file.',
      );
    }
    const fix = 'Make or copy the teacher again.';
    if (!tensor.data.every(Number.isFinite))
      throw new UserError(`teacher ${name}: ${key} holds values that are not finite.`, fix);
    if (key.endsWith('.weight') && tensor.data.every((value) => value === 0))
      throw new UserError(`teacher ${name}: ${key} is all zero.`, fix);
    parameter.data = tensor.data;
  }
}

/** The weights of a teacher, as {@link loadTeacher} takes them. */
export function teacherTensors(teacher: Pdn): Map<string, StoredTensor> {
  return new Map(
    teacher.parameters.map((parameter) => [
      keyOf(parameter),
      { shape: parameter.type.shape, data: parameter.data as Float32Array },
    ]),
  );
}

/** Of a teacher's parameter in a file of it alone. */
const keyOf = ({ name }: Parameter) => name.slice('teacher.'.length);
