import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

interface OwnPackage {
  readonly folder: string;
  readonly version: string;
  readonly peerDependencies: Readonly<Record<string, string>>;
}

/** The package that a file belongs to, when it is this one: the nearest `package.json` says so. */
export function ownPackage(file = fileURLToPath(import.meta.url)): OwnPackage | undefined {
  for (let folder = dirname(file); ; folder = dirname(folder)) {
    const path = join(folder, 'package.json');
    if (existsSync(path)) {
      const { name, version, peerDependencies = {} } = JSON.parse(readFileSync(path, 'utf8'));
      return name === 'raad-webgpu' ? { folder, version: String(version), peerDependencies } : undefined;
    }
    if (dirname(folder) === folder) return undefined;
  }
}

/** This package's version. */
export async function ownVersion(): Promise<string> {
  return ownPackage()?.version ?? 'unknown';
}
