import { closeSync, existsSync, fstatSync, openSync } from 'node:fs';
import { constants } from 'node:os';
import { basename, dirname, join } from 'node:path';
import type { AdapterKind } from '../engine/caps.ts';
import { ownPackage } from './version.ts';

/** Where `npm run setup` unpacks SwiftShader, below the folder that holds `node_modules`. */
const SWIFTSHADER = 'node_modules/.cache/raad-webgpu/swiftshader';

/**
 * The folder with SwiftShader and a Vulkan loader: `RAAD_SWIFTSHADER`, or what set-up unpacked; undefined without. Native
 * code is loaded from there, so it is looked for in this package and the project whose `node_modules` hold it, nowhere else.
 */
export function swiftShaderFolder(): string | undefined {
  return process.env['RAAD_SWIFTSHADER'] || unpackedSwiftShader(ownPackage()?.folder);
}

/** @param folder of this package */
export function unpackedSwiftShader(folder: string | undefined): string | undefined {
  if (folder === undefined) return undefined;
  const places = basename(dirname(folder)) === 'node_modules' ? [folder, dirname(dirname(folder))] : [folder];
  return places
    .map((place) => join(place, SWIFTSHADER))
    .find((candidate) => existsSync(join(candidate, 'vk_swiftshader_icd.json')));
}

/** Lets the Vulkan loader find SwiftShader beside the system's drivers. */
export function addDriver(folder: string): void {
  process.env['VK_ADD_DRIVER_FILES'] ??= join(folder, 'vk_swiftshader_icd.json');
}

/**
 * Hides drivers of other kinds from whoever looks for Vulkan drivers from now on in this process, so that a second engine
 * opens the same adapter. Of several hardware GPUs it may open another one; `VK_DRIVER_FILES` chooses there.
 */
export function onlyDriverOf(kind: AdapterKind): void {
  const folder = swiftShaderFolder();
  if (kind === 'swiftshader' && folder) process.env['VK_DRIVER_FILES'] = join(folder, 'vk_swiftshader_icd.json');
  // Patterns of manifest names; older loaders ignore them, and then hardware comes first.
  if (kind === 'lavapipe') process.env['VK_LOADER_DRIVERS_SELECT'] = '*lvp*';
  if (kind === 'gpu') process.env['VK_LOADER_DRIVERS_DISABLE'] = '*lvp*,*swiftshader*';
  delete process.env['VK_ADD_DRIVER_FILES'];
}

/** dlopen's flag for a library that stays loaded when its handle is closed. */
const RTLD_NODELETE = 0x1000;

/**
 * Loads the Vulkan loader from a folder, for machines without one: Dawn asks for it by its soname, which the dynamic linker
 * then resolves to the loaded one. (`LD_LIBRARY_PATH` would have to be set before the process starts.)
 */
export function loadVulkan(folder: string): void {
  try {
    process.dlopen({ exports: {} }, join(folder, 'libvulkan.so.1'), constants.dlopen.RTLD_NOW | RTLD_NODELETE);
  } catch {
    // It is no Node module and says so, after it has been loaded.
  }
}

/**
 * Runs a function with the process's stderr closed to native code: drivers and Dawn print notices there that concern
 * nobody. Only on Linux, and only where stderr can be opened again. A regular file cannot: it would get a write position of
 * its own, and overwrite what others who share the file have written.
 */
export function withoutChatter<T>(run: () => T): T {
  if (process.platform !== 'linux' || process.env['RAAD_VERBOSE']) return run();
  let saved: number;
  try {
    if (fstatSync(2).isFile()) return run();
    saved = openSync('/proc/self/fd/2', 'a');
  } catch {
    return run();
  }
  // The lowest free descriptor is the one that open returns.
  closeSync(2);
  openSync('/dev/null', 'w');
  try {
    return run();
  } finally {
    closeSync(2);
    openSync(`/proc/self/fd/${saved}`, 'a');
    closeSync(saved);
  }
}
