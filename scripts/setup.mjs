// Makes a fresh clone work, with nothing but Node and git: installs the locked packages when they are missing, builds, and
// makes sure that some WebGPU adapter answers. A real GPU's driver is used as it is; otherwise Mesa lavapipe is installed
// through apt where that is allowed, else SwiftShader is unpacked below node_modules. Does nothing the second time.
//
//   node scripts/setup.mjs [--swiftshader]     also SwiftShader where another adapter is there
//   RAAD_ADAPTER=swiftshader node scripts/setup.mjs     only SwiftShader is wanted: nothing is installed through apt
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { brotliDecompressSync } from 'node:zlib';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
process.chdir(root);
const CACHE = join('node_modules', '.cache', 'raad-webgpu');
const SWIFTSHADER = join(CACHE, 'swiftshader');
/** An npm package that carries SwiftShader and a Vulkan loader, and the digest of its archive. */
const CARRIER = {
  name: '@sparticuz/chromium@153.0.0',
  integrity: 'sha512-jiGWqSvPMdu4+P9TilYqAR7yEGPEHINx+lCvE/NqNO/EHYzF/x1hUiI5T6ioVIt7dEy7n88byyT0vk+dnsgQwA==',
};

const say = (message) => console.error(`setup: ${message}`);
const fail = (message) => {
  say(message);
  process.exit(1);
};

requireNode(20, 19);
installPackages();
build();
ensureAdapter();

function requireNode(major, minor) {
  const [has, hasMinor] = process.versions.node.split('.').map(Number);
  if (has < major || (has === major && hasMinor < minor)) {
    fail(`Node ${process.versions.node} is too old. Install Node ${major}.${minor} or newer.`);
  }
}

function npm(args, options = {}) {
  const script = process.env.npm_execpath;
  return script
    ? spawnSync(process.execPath, [script, ...args], options)
    : spawnSync(process.platform === 'win32' ? 'npm.cmd' : 'npm', args, {
        shell: process.platform === 'win32',
        ...options,
      });
}

function installPackages() {
  const lock = createHash('sha256').update(readFileSync('package-lock.json')).digest('hex');
  const mark = join(CACHE, 'installed');
  if (existsSync(mark) && readFileSync(mark, 'utf8') === lock) return;
  say('installing the locked packages');
  // Not `npm ci`: it refuses a lock file without the optional packages of every platform, which not every registry has.
  const options = ['--no-save', '--no-audit', '--no-fund', '--loglevel=error'];
  const { status } = npm(['install', ...options], { stdio: ['ignore', 2, 2] });
  if (status !== 0) fail('npm failed, see above. Is the package registry reachable?');
  mkdirSync(CACHE, { recursive: true });
  writeFileSync(mark, lock);
}

function build() {
  if (existsSync('dist/cli.js')) return;
  say('building');
  execFileSync(process.execPath, ['scripts/build.mjs'], { stdio: ['ignore', 2, 2] });
}

/** Adapters that a device could be opened on, best first. Asked in a process of its own, since drivers stay loaded. */
function adapters() {
  const { RAAD_ADAPTER, ...env } = process.env;
  const { stdout } = spawnSync(process.execPath, ['dist/cli.js', 'devices', '--json'], { encoding: 'utf8', env });
  try {
    return JSON.parse(stdout).filter(({ caps }) => caps);
  } catch {
    return [];
  }
}

function ensureAdapter() {
  const wanted = process.env.RAAD_ADAPTER;
  const fits = ({ kind, name }) => !wanted || kind === wanted || name.toLowerCase().includes(wanted.toLowerCase());
  if (process.argv.includes('--swiftshader') || wanted === 'swiftshader') installSwiftShader();
  let found = adapters().filter(fits);
  if (found.length === 0 && wanted !== 'swiftshader') {
    installLavapipe();
    found = adapters().filter(fits);
  }
  if (found.length === 0 && !wanted) {
    installSwiftShader();
    found = adapters();
  }
  if (found.length === 0) {
    fail(
      `no WebGPU adapter${wanted ? ` '${wanted}'` : ''} answers. Install a Vulkan driver (on Linux: Mesa 24 or newer) and run this again.`,
    );
  }
  say(`ready, adapter: ${found[0].name} (${found[0].kind})`);
}

function installLavapipe() {
  if (process.platform !== 'linux' || process.getuid() !== 0 || spawnSync('apt-get', ['--version']).status !== 0)
    return;
  const release = existsSync('/etc/os-release') ? readFileSync('/etc/os-release', 'utf8') : '';
  const codename = /^VERSION_CODENAME=(\w+)/m.exec(release)?.[1];
  const target = [];
  if (codename === 'bookworm') {
    // Mesa 22.3 there is too old for Dawn; backports has a newer one.
    if (!addBackports()) return;
    target.push('-t', 'bookworm-backports');
  }
  say(`installing Mesa lavapipe through apt${target.length ? ` from ${target[1]}` : ''}`);
  const apt = (...args) =>
    spawnSync('apt-get', ['-qq', '-o', 'Dpkg::Use-Pty=0', ...args], {
      stdio: ['ignore', 'ignore', 2],
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    }).status === 0;
  apt('update');
  if (!apt('install', '-y', '--no-install-recommends', ...target, 'mesa-vulkan-drivers', 'libvulkan1')) {
    say('apt could not install it');
  }
}

/** Adds the backports suite of the mirror that the machine already uses. */
function addBackports() {
  const folder = '/etc/apt/sources.list.d';
  const files = ['/etc/apt/sources.list', ...readdirSync(folder).map((file) => join(folder, file))].filter(existsSync);
  const texts = files.map((file) => readFileSync(file, 'utf8'));
  if (texts.some((text) => /^[^#]*bookworm-backports/m.test(text))) return true;
  for (const text of texts) {
    const line = /^deb\s+(?:\[[^\]]*\]\s+)?(\S+)\s+bookworm\s/m.exec(text)?.[1];
    const stanza = text
      .split(/\n\s*\n/)
      .find((part) => /^Suites:.*\bbookworm\b(?!-)/m.test(part) && /^Components:.*\bmain\b/m.test(part));
    const mirror = line ?? (stanza && /^URIs:\s*(\S+)/m.exec(stanza)?.[1]);
    if (!mirror) continue;
    const key = stanza && /^Signed-By:\s*(\S+)/m.exec(stanza)?.[1];
    say(`adding bookworm-backports to ${folder}`);
    writeFileSync(
      join(folder, 'raad-backports.list'),
      `deb ${key ? `[signed-by=${key}] ` : ''}${mirror} bookworm-backports main\n`,
    );
    return true;
  }
  say('found no Debian mirror in the apt sources');
  return false;
}

function installSwiftShader() {
  if (existsSync(join(SWIFTSHADER, 'vk_swiftshader_icd.json'))) return;
  if (process.platform !== 'linux' || process.arch !== 'x64') return say('SwiftShader is packed for Linux on x64 only');
  say(`unpacking SwiftShader out of ${CARRIER.name}`);
  mkdirSync(CACHE, { recursive: true });
  const work = mkdtempSync(join(tmpdir(), 'raad-'));
  try {
    const packed = npm(['pack', CARRIER.name, '--pack-destination', work, '--loglevel=error'], { encoding: 'utf8' });
    const archive = readdirSync(work).find((file) => file.endsWith('.tgz'));
    if (packed.status !== 0 || !archive) return say(`npm could not fetch it: ${packed.stderr.trim()}`);
    const path = join(work, archive);
    const digest = `sha512-${createHash('sha512').update(readFileSync(path)).digest('base64')}`;
    if (digest !== CARRIER.integrity) return say(`its archive has digest ${digest}, expected ${CARRIER.integrity}`);
    execFileSync('tar', ['-xzf', path, '-C', work, 'package/bin/swiftshader.tar.br']);
    const inner = join(work, 'swiftshader.tar');
    writeFileSync(inner, brotliDecompressSync(readFileSync(join(work, 'package/bin/swiftshader.tar.br'))));
    const unpacked = join(CACHE, `swiftshader.${process.pid}.part`);
    mkdirSync(unpacked);
    execFileSync('tar', [
      '-xf',
      inner,
      '-C',
      unpacked,
      'libvk_swiftshader.so',
      'libvulkan.so.1',
      'vk_swiftshader_icd.json',
    ]);
    renameSync(unpacked, SWIFTSHADER);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}
