import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, test } from 'vitest';
import { aptConfig, mirrorsOf, sourcesText } from '../scripts/apt.mjs';
import { ownPackage } from '../src/node/version.ts';
import { unpackedSwiftShader } from '../src/node/vulkan.ts';
import { temporaryFolder, writeTree } from './support/temporary.ts';

const BOOKWORM = { codename: 'bookworm', architecture: 'amd64' };
const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';

/** Mirrors as `URI suite`, and `!` behind those whose lists do not expire. */
function read(files: Readonly<Record<string, string>>, system = BOOKWORM): string[] {
  const list = Object.entries(files).map(([name, text]) => ({ name: `/etc/apt/${name}`, text }));
  return mirrorsOf(list, system).map(({ uri, suite, expires }) => `${uri} ${suite}${expires ? '' : '!'}`);
}

const DEB822 = `Types: deb
# http://snapshot.example/archive/debian/20250520T000000Z
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: ${KEYRING}

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main
Signed-By: ${KEYRING}
`;
const ALL = [
  'http://mirror.example/debian bookworm',
  'http://mirror.example/debian bookworm-updates',
  'http://mirror.example/debian-security bookworm-security',
];

describe("apt's sources", () => {
  test('in the deb822 format', () => {
    expect(read({ 'sources.list.d/debian.sources': DEB822 })).toEqual(ALL);
    expect(read({ 'sources.list.d/debian.sources': DEB822.replaceAll('\n', '\r\n') })).toEqual(ALL);
  });

  test('in the one-line format, with options, comments and other components', () => {
    const text = `# deb http://old.example/debian bookworm main
deb [signed-by=${KEYRING}] http://mirror.example/debian bookworm main contrib non-free-firmware # ours
  deb [ arch=amd64,arm64 signed-by=${KEYRING} ] http://mirror.example/debian bookworm-updates main
deb-src http://source.example/debian bookworm main
deb http://mirror.example/debian-security bookworm-security main # not-main
deb http://contrib.example/debian bookworm contrib # main
`;
    expect(read({ 'sources.list': text })).toEqual(ALL);
  });

  test('with a key in Signed-By', () => {
    const key =
      ' -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mDMEY865UxYJKwYBBAHaRw8BAQdAd7Z0\n Suites: bullseye\n =aY0P\n -----END PGP PUBLIC KEY BLOCK-----';
    const text = DEB822.replaceAll(`Signed-By: ${KEYRING}`, `Signed-By:\n${key}`);
    expect(read({ 'sources.list.d/debian.sources': text })).toEqual(ALL);
    // What is written has the distribution's keyring, and no part of that key.
    const mirrors = mirrorsOf([{ name: 'debian.sources', text }], BOOKWORM);
    expect(sourcesText(mirrors, { ...BOOKWORM, keyring: KEYRING, backports: true })).not.toMatch(/PGP|aY0P|bullseye/);
  });

  test.each(['no', 'No', 'false', '0', 'off', 'without', 'disable'])('disabled by "%s"', (no) => {
    const disabled = DEB822.replaceAll('Types: deb', `Enabled: ${no}\nTypes: deb`).replaceAll('mirror', 'off');
    expect(read({ 'sources.list.d/a.sources': `${disabled}\n${DEB822}` })).toEqual(ALL);
    expect(read({ 'sources.list.d/a.sources': disabled })).toEqual([]);
  });

  test('enabled in words', () => {
    expect(
      read({ 'sources.list.d/a.sources': DEB822.replaceAll('Types: deb', 'types: deb-src deb\nENABLED: yes') }),
    ).toEqual(ALL);
  });

  test("of other vendors stay out where they differ; what is written trusts the distribution's key only", () => {
    const files = {
      'sources.list.d/docker.list':
        'deb [arch=amd64 signed-by=/etc/apt/keyrings/docker.gpg] https://download.vendor.example/linux/debian bookworm stable',
      'sources.list.d/node.sources':
        'Types: deb\nURIs: https://deb.node.example/node_20.x\nSuites: nodistro\nComponents: main\nArchitectures: amd64',
      'sources.list.d/pgdg.list': 'deb https://apt.database.example/pub/repos/apt bookworm-pgdg main',
      'sources.list.d/cloud.list': 'deb https://packages.cloud.example/apt cloud-sdk-bookworm main',
      'sources.list.d/hashi.list':
        'deb [signed-by=/usr/share/keyrings/hashi.gpg] https://apt.hashi.example bookworm main',
      'sources.list': 'deb http://mirror.example/debian bookworm main',
    };
    expect(read(files)).toEqual(['https://apt.hashi.example bookworm', ALL[0]]);
    const mirrors = mirrorsOf(
      Object.entries(files).map(([name, text]) => ({ name, text })),
      BOOKWORM,
    );
    const text = sourcesText(mirrors, { ...BOOKWORM, keyring: KEYRING, backports: true });
    const stanzas = text.trim().split('\n\n');
    expect(stanzas.length).toBe(4);
    for (const stanza of stanzas) expect(stanza).toContain(`\nSigned-By: ${KEYRING}\n`);
    expect(text).not.toContain('hashi.gpg');
  });

  test('with mirror lists and several addresses', () => {
    const text = DEB822.replace('http://mirror.example/debian\n', 'mirror+file:/etc/apt/mirrors/debian.list\n').replace(
      'URIs: http://mirror.example/debian-security',
      'URIs:\n http://one.example/security\n http://two.example/security',
    );
    expect(read({ 'sources.list.d/debian.sources': text })).toEqual([
      'mirror+file:/etc/apt/mirrors/debian.list bookworm',
      'mirror+file:/etc/apt/mirrors/debian.list bookworm-updates',
      'http://one.example/security bookworm-security',
      'http://two.example/security bookworm-security',
    ]);
  });

  test('on discs', () => {
    const text = `deb cdrom:[Debian GNU/Linux 12.5.0 _Bookworm_ - Official amd64 NETINST]/ bookworm main
deb [trusted=yes] cdrom:[Debian]/ bookworm main
${ALL.map((line) => `deb ${line} main`).join('\n')}`;
    expect(read({ 'sources.list': text })).toEqual(ALL);
  });

  test('for other architectures', () => {
    const text = `deb [arch=arm64,armhf] http://ports.example/debian bookworm main
deb [arch-=amd64] http://without.example/debian bookworm main
deb http://mirror.example/debian bookworm main`;
    expect(read({ 'sources.list': text })).toEqual([ALL[0]]);
    expect(read({ 'sources.list': text }, { ...BOOKWORM, architecture: 'arm64' }).length).toBe(3);
    const stanzas = DEB822.replaceAll('Components', 'Architectures: i386 arm64\nComponents');
    expect(read({ 'sources.list.d/a.sources': stanzas })).toEqual([]);
  });

  test('of other releases, and of aliases by the name of this one', () => {
    const text = `deb http://mirror.example/debian bullseye main
deb http://mirror.example/debian sid main
deb http://mirror.example/debian ./
deb http://mirror.example/debian oldstable main
deb http://mirror.example/debian stable-updates main
deb http://mirror.example/debian bookworm-proposed-updates main
deb http://mirror.example/debian-security bookworm-security main`;
    expect(read({ 'sources.list': text })).toEqual(ALL);
    expect(read({ 'sources.list.d/debian.sources': DEB822 }, { ...BOOKWORM, codename: 'trixie' })).toEqual([]);
  });

  test('of a snapshot, whose lists have expired', () => {
    const line = 'deb [check-valid-until=no] http://snapshot.example/debian/20250520T000000Z bookworm main';
    expect(read({ 'sources.list': line })).toEqual(['http://snapshot.example/debian/20250520T000000Z bookworm!']);
    const stanzas = DEB822.replaceAll('Components', 'Check-Valid-Until: false\nComponents');
    expect(read({ 'sources.list.d/a.sources': stanzas })).toEqual(ALL.map((each) => `${each}!`));
    const mirrors = mirrorsOf([{ name: 'sources.list', text: line }], BOOKWORM);
    const written = sourcesText(mirrors, { ...BOOKWORM, keyring: KEYRING, backports: true });
    expect(written.match(/^Check-Valid-Until: no$/gm)?.length).toBe(2);
  });

  test('twice, missing, or nonsense', () => {
    expect(read({ 'sources.list': `deb ${ALL[0]} main`, 'sources.list.d/debian.sources': DEB822 })).toEqual(ALL);
    expect(read({})).toEqual([]);
    expect(read({ 'sources.list': '', 'sources.list.d/a.sources': '\n\n \n# nothing\n' })).toEqual([]);
    expect(
      read({ 'sources.list': 'deb\ndeb http://a\n\0\ndeb [', 'sources.list.d/a.sources': ': x\n y\nTypes' }),
    ).toEqual([]);
  });
});

describe('what apt is given', () => {
  const mirrors = mirrorsOf([{ name: 'debian.sources', text: DEB822 }], BOOKWORM);

  test('is read as it was written', () => {
    const text = sourcesText(mirrors, { ...BOOKWORM, keyring: KEYRING, backports: false });
    expect(mirrorsOf([{ name: 'own.sources', text }], BOOKWORM)).toEqual(mirrors);
  });

  test('has backports of the release itself, once', () => {
    const suites = (files: typeof mirrors) =>
      [...sourcesText(files, { ...BOOKWORM, keyring: KEYRING, backports: true }).matchAll(/^Suites: (.*)$/gm)].map(
        ([, suite]) => suite,
      );
    const all = ['bookworm', 'bookworm-updates', 'bookworm-security', 'bookworm-backports'];
    expect(suites(mirrors)).toEqual(all);
    const present = { ...mirrors[0]!, suite: 'bookworm-backports' };
    expect(suites([...mirrors, present])).toEqual(all);
  });

  test("lies in one folder, and none of the system's sources and lists are used", () => {
    const lines = aptConfig('/tmp/x').split('\n');
    expect(lines).toContain('Dir::Etc::sourcelist "/tmp/x/own.sources";');
    expect(lines).toContain('Dir::Etc::sourceparts "/dev/null";');
    expect(lines).toContain('Dir::State::lists "/tmp/x/lists";');
    expect(lines).toContain('Dir::Cache "/tmp/x/cache";');
  });
});

test.skipIf(process.platform === 'win32')(
  'what was made is removed when a signal comes, after the child has ended',
  async () => {
    const module = pathToFileURL(new URL('../scripts/children.mjs', import.meta.url).pathname).href;
    const folder = writeTree(temporaryFolder(), {
      'main.mjs': `import { run, Stopped } from '${module}';
try {
  await run('sh', ['-c', 'echo ready >&2; exec sleep 30']);
  console.log('not stopped');
} catch (error) {
  process.exitCode = error instanceof Stopped ? error.exitCode : 1;
} finally {
  console.log('removed');
}`,
    });
    const child = spawn(process.execPath, [`${folder}/main.mjs`]);
    let stdout = '';
    child.stdout.on('data', (text) => {
      stdout += text;
    });
    await once(child.stderr, 'data');
    child.kill('SIGTERM');
    const [status] = await once(child, 'close');
    expect([status, stdout]).toEqual([143, 'removed\n']);
  },
);

test('SwiftShader is looked for in the package and the project that holds it, not in every folder above', () => {
  const unpacked = 'node_modules/.cache/raad-webgpu/swiftshader';
  const manifest = `${unpacked}/vk_swiftshader_icd.json`;
  const above = writeTree(temporaryFolder(), {
    [manifest]: '{}',
    'a/project/node_modules/raad-webgpu/package.json': '{}',
  });
  const project = join(above, 'a/project');
  const folder = join(project, 'node_modules/raad-webgpu');
  expect(unpackedSwiftShader(folder)).toBeUndefined();
  expect(unpackedSwiftShader(project)).toBeUndefined();
  expect(unpackedSwiftShader(undefined)).toBeUndefined();
  writeTree(project, { [manifest]: '{}' });
  expect(unpackedSwiftShader(folder)).toBe(join(project, unpacked));
  writeTree(folder, { [manifest]: '{}' });
  expect(unpackedSwiftShader(folder)).toBe(join(folder, unpacked));
});

test('files belong to this package where the nearest package.json says so', () => {
  const folder = writeTree(temporaryFolder(), {
    'package.json': '{ "name": "raad-webgpu", "version": "1.2.3" }',
    'node_modules/other/package.json': '{ "name": "other", "version": "4.5.6" }',
  });
  expect(ownPackage(join(folder, 'dist/cli.js'))).toEqual({ folder, version: '1.2.3', peerDependencies: {} });
  expect(ownPackage(join(folder, 'node_modules/other/dist/bundle.js'))).toBeUndefined();
  expect(ownPackage()?.version).toMatch(/^\d+\.\d+\.\d+/);
});
