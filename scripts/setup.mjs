// Makes a fresh clone work, with nothing but Node and git: installs the locked packages when they are missing, builds, and
// makes sure that some WebGPU adapter answers. A real GPU's driver is used as it is; otherwise Mesa lavapipe is installed
// through apt where that is allowed, else SwiftShader is unpacked below node_modules. Does nothing the second time.
// apt's own sources, lists and caches stay as they are: it is given others in a temporary folder.
//
//   node scripts/setup.mjs [--swiftshader]     also SwiftShader where another adapter is there
//   RAAD_ADAPTER=swiftshader node scripts/setup.mjs     only SwiftShader is wanted: nothing is installed through apt
import { createHash } from 'node:crypto';
import {
  chmodSync,
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
import { aptConfig, mirrorsOf, sourcesText } from './apt.mjs';
import { run, Stopped } from './children.mjs';

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
  throw new Error(message);
};

try {
  requireNode(20, 19);
  await installPackages();
  await build();
  await ensureAdapter();
} catch (error) {
  say(error.message);
  process.exitCode = error instanceof Stopped ? error.exitCode : 1;
}

function requireNode(major, minor) {
  const [has, hasMinor] = process.versions.node.split('.').map(Number);
  if (has < major || (has === major && hasMinor < minor)) {
    fail(`Node ${process.versions.node} is too old. Install Node ${major}.${minor} or newer.`);
  }
}

function npm(args, options = {}) {
  const script = process.env.npm_execpath;
  return script
    ? run(process.execPath, [script, ...args], options)
    : run(process.platform === 'win32' ? 'npm.cmd' : 'npm', args, { shell: process.platform === 'win32', ...options });
}

async function installPackages() {
  const lock = createHash('sha256').update(readFileSync('package-lock.json')).digest('hex');
  const mark = join(CACHE, 'installed');
  if (existsSync(mark) && readFileSync(mark, 'utf8') === lock) return;
  say('installing the locked packages');
  // Not `npm ci`: it refuses a lock file without the optional packages of every platform, which not every registry has.
  const options = ['--no-save', '--no-audit', '--no-fund', '--loglevel=error'];
  const { status } = await npm(['install', ...options], { stdio: ['ignore', 2, 2] });
  if (status !== 0) fail('npm failed, see above. Is the package registry reachable?');
  mkdirSync(CACHE, { recursive: true });
  writeFileSync(mark, lock);
}

async function build() {
  if (existsSync('dist/cli.js')) return;
  say('building');
  const { status } = await run(process.execPath, ['scripts/build.mjs'], { stdio: ['ignore', 2, 2] });
  if (status !== 0) fail('the build failed, see above.');
}

/** Adapters that a device could be opened on, best first. Asked in a process of its own, since drivers stay loaded. */
async function adapters() {
  const { RAAD_ADAPTER, ...env } = process.env;
  const options = { env, stdio: ['ignore', 'pipe', 'ignore'] };
  const { stdout } = await run(process.execPath, ['dist/cli.js', 'devices', '--json'], options);
  try {
    return JSON.parse(stdout).filter(({ caps }) => caps);
  } catch {
    return [];
  }
}

async function ensureAdapter() {
  const wanted = process.env.RAAD_ADAPTER;
  const fits = ({ kind, name }) => !wanted || kind === wanted || name.toLowerCase().includes(wanted.toLowerCase());
  if (wanted === 'swiftshader') await installSwiftShader();
  let found = (await adapters()).filter(fits);
  if (found.length === 0 && wanted !== 'swiftshader') {
    await installLavapipe();
    found = (await adapters()).filter(fits);
  }
  if (found.length === 0 && !wanted) {
    await installSwiftShader();
    found = await adapters();
  }
  if (found.length === 0) {
    fail(
      `no WebGPU adapter${wanted ? ` '${wanted}'` : ''} answers. Install a Vulkan driver (on Linux: Mesa 24 or newer) and run this again.`,
    );
  }
  // Last: where it is there already, no other driver is installed.
  if (process.argv.includes('--swiftshader')) await installSwiftShader();
  say(`ready, adapter: ${found[0].name} (${found[0].kind})`);
}

/** Works in a temporary folder that is removed whatever happens. */
async function inTemporaryFolder(work) {
  const folder = mkdtempSync(join(tmpdir(), 'raad-'));
  try {
    return await work(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Installs Mesa from the distribution's mirrors that apt already uses; that is all that changes. */
async function installLavapipe() {
  if (process.platform !== 'linux' || process.getuid() !== 0) return;
  const quiet = { stdio: ['ignore', 'pipe', 'ignore'] };
  const { status, stdout } = await run('dpkg', ['--print-architecture'], quiet);
  const release = existsSync('/etc/os-release') ? readFileSync('/etc/os-release', 'utf8') : '';
  const fieldOf = (name) => new RegExp(`^${name}="?([\\w.-]+)`, 'm').exec(release)?.[1];
  const [id, codename] = [fieldOf('ID'), fieldOf('VERSION_CODENAME')];
  const keyring = ['gpg', 'pgp'].map((type) => `/usr/share/keyrings/${id}-archive-keyring.${type}`).find(existsSync);
  if (status !== 0 || !codename || !keyring) return;
  const system = { codename, architecture: stdout.trim() };
  const mirrors = mirrorsOf(aptSources(), system);
  if (mirrors.length === 0) return say(`found no mirror of ${codename} in apt's sources`);
  // Mesa 22.3 there is too old for Dawn; backports has a newer one.
  const backports = codename === 'bookworm';
  const target = backports ? ['-t', `${codename}-backports`] : [];
  say(`installing Mesa lavapipe through apt${backports ? ` from ${target[1]}` : ''}`);
  await inTemporaryFolder(async (folder) => {
    // apt downloads as a user of its own.
    chmodSync(folder, 0o755);
    for (const name of ['lists/partial', 'cache/archives/partial']) mkdirSync(join(folder, name), { recursive: true });
    writeFileSync(join(folder, 'own.sources'), sourcesText(mirrors, { ...system, keyring, backports }));
    const { APT_CONFIG } = process.env;
    const theirs = APT_CONFIG && existsSync(APT_CONFIG) ? `${readFileSync(APT_CONFIG, 'utf8')}\n` : '';
    const settings = join(folder, 'apt.conf');
    writeFileSync(settings, theirs + aptConfig(folder));
    const env = { ...process.env, APT_CONFIG: settings, DEBIAN_FRONTEND: 'noninteractive' };
    const apt = (stderr, ...args) => run('apt-get', ['-qq', ...args], { stdio: ['ignore', 'ignore', stderr], env });
    // Where it fails for some of the mirrors, the others may do.
    await apt('ignore', 'update');
    const packages = ['mesa-vulkan-drivers', 'libvulkan1'];
    const installed = await apt(2, 'install', '-y', '--no-install-recommends', '--no-remove', ...target, ...packages);
    if (installed.status !== 0) say('apt could not install it');
  });
}

/** Files of apt's sources that it reads: those with other endings are switched off. */
function aptSources() {
  const folder = '/etc/apt/sources.list.d';
  const parts = existsSync(folder) ? readdirSync(folder).sort() : [];
  return ['/etc/apt/sources.list', ...parts.map((name) => join(folder, name))]
    .filter((name) => /\/[\w.-]+\.(list|sources)$/.test(name) && existsSync(name))
    .map((name) => ({ name, text: readFileSync(name, 'utf8') }));
}

async function installSwiftShader() {
  if (existsSync(join(SWIFTSHADER, 'vk_swiftshader_icd.json'))) return;
  if (process.platform !== 'linux' || process.arch !== 'x64') return say('SwiftShader is packed for Linux on x64 only');
  say(`unpacking SwiftShader out of ${CARRIER.name}`);
  mkdirSync(CACHE, { recursive: true });
  await inTemporaryFolder(unpackSwiftShader);
}

async function unpackSwiftShader(work) {
  const { status } = await npm(['pack', CARRIER.name, '--pack-destination', work, '--loglevel=error']);
  const archive = readdirSync(work).find((file) => file.endsWith('.tgz'));
  if (status !== 0 || !archive) return say('npm could not fetch it, see above');
  const path = join(work, archive);
  const digest = `sha512-${createHash('sha512').update(readFileSync(path)).digest('base64')}`;
  if (digest !== CARRIER.integrity) return say(`its archive has digest ${digest}, expected ${CARRIER.integrity}`);
  await unpack('-xzf', path, work, ['package/bin/swiftshader.tar.br']);
  const inner = join(work, 'swiftshader.tar');
  writeFileSync(inner, brotliDecompressSync(readFileSync(join(work, 'package/bin/swiftshader.tar.br'))));
  const unpacked = join(CACHE, `swiftshader.${process.pid}.part`);
  try {
    mkdirSync(unpacked);
    await unpack('-xf', inner, unpacked, ['libvk_swiftshader.so', 'libvulkan.so.1', 'vk_swiftshader_icd.json']);
    renameSync(unpacked, SWIFTSHADER);
  } finally {
    rmSync(unpacked, { recursive: true, force: true });
  }
}

async function unpack(how, archive, folder, files) {
  const { status } = await run('tar', [how, archive, '-C', folder, ...files], { stdio: ['ignore', 'ignore', 2] });
  if (status !== 0) fail(`tar could not unpack ${archive}.`);
}
