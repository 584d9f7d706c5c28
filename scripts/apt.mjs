// What apt's configuration says about the distribution's own mirrors. Pure functions: apt's files are read, never written.

/** Values that apt takes for "no". */
const NO = /^(no|false|without|off|disable|0)$/i;

/**
 * Repositories among apt's sources that may be mirrors of the distribution: enabled, of this architecture, with the
 * component main and a suite of this release. Other vendors' may be among them; only the distribution's signature tells.
 * @param {readonly {name: string, text: string}[]} files of apt's sources
 * @param {{codename: string, architecture: string}} system
 */
export function mirrorsOf(files, { codename, architecture }) {
  const found = new Map();
  for (const { name, text } of files) {
    for (const entry of name.endsWith('.sources') ? stanzas(text) : lines(text)) {
      if (!entry.types.includes('deb') || !entry.components.includes('main')) continue;
      if (!fitsArchitecture(entry, architecture)) continue;
      for (const uri of entry.uris) {
        // A disc would have to be put in.
        if (/^cdrom:/i.test(uri)) continue;
        for (const named of entry.suites) {
          const suite = suiteOf(named, codename);
          const mirror = { uri, suite, expires: entry.expires };
          if (suite !== undefined && !found.has(`${uri} ${suite}`)) found.set(`${uri} ${suite}`, mirror);
        }
      }
    }
  }
  return [...found.values()];
}

/** A suite by this release's own name, undefined for those of other releases: `stable` is another release one day. */
function suiteOf(suite, codename) {
  const [, release, part] = /^([^-/]+)(-updates|-security|-backports|\/updates|)\/?$/.exec(suite) ?? [];
  const isOurs = release === codename || /^(old)*stable$/.test(release ?? '');
  return isOurs ? `${codename}${part}` : undefined;
}

function fitsArchitecture({ architectures, without }, architecture) {
  return (architectures.length === 0 || architectures.includes(architecture)) && !without.includes(architecture);
}

const wordsOf = (text = '') => text.split(/[\s,]+/).filter(Boolean);

/** Entries of the one-line format: `deb [option=value ...] URI suite component...`. */
function* lines(text) {
  for (const line of text.split(/\r?\n/)) {
    const match = /^\s*(deb|deb-src)\s+(?:\[([^\]]*)\]\s*)?(\S+)\s+(\S+)\s*([^#]*)/.exec(line);
    if (!match) continue;
    const [, type, options = '', uri, suite, components] = match;
    const option = (name) => {
      const found = options
        .trim()
        .split(/\s+/)
        .find((each) => each.toLowerCase().startsWith(`${name}=`));
      return found?.slice(name.length + 1);
    };
    yield {
      types: [type],
      uris: [uri],
      suites: [suite],
      components: wordsOf(components),
      architectures: wordsOf(option('arch')),
      without: wordsOf(option('arch-')),
      expires: !NO.test(option('check-valid-until') ?? ''),
    };
  }
}

/** Enabled stanzas of the deb822 format. Fields may go on in indented lines, such as a key in `Signed-By`. */
function* stanzas(text) {
  const plain = text.split(/\r?\n/).filter((line) => !line.startsWith('#'));
  for (const stanza of plain.join('\n').split(/\n[ \t]*\n/)) {
    const fields = new Map();
    let last;
    for (const line of stanza.split('\n')) {
      const [, name, value] = /^([^\s:]+)\s*:(.*)$/.exec(line) ?? [];
      if (name !== undefined) {
        last = name.toLowerCase();
        fields.set(last, value.trim());
      } else if (last !== undefined && /^[ \t]/.test(line)) fields.set(last, `${fields.get(last)} ${line.trim()}`);
    }
    if (NO.test(fields.get('enabled') ?? '')) continue;
    yield {
      types: wordsOf(fields.get('types')),
      uris: (fields.get('uris') ?? '').split(/\s+/).filter(Boolean),
      suites: wordsOf(fields.get('suites')),
      components: wordsOf(fields.get('components')),
      architectures: wordsOf(fields.get('architectures')),
      without: wordsOf(fields.get('architectures-remove')),
      expires: !NO.test(fields.get('check-valid-until') ?? ''),
    };
  }
}

/**
 * An own sources file in the deb822 format: the mirrors' packages for one architecture, all signed with the distribution's
 * keyring, so that apt takes nothing from whoever else is among them.
 * @param {readonly {uri: string, suite: string, expires: boolean}[]} mirrors
 * @param {{codename: string, architecture: string, keyring: string, backports: boolean}} options
 */
export function sourcesText(mirrors, { codename, architecture, keyring, backports }) {
  const added = backports
    ? mirrors.filter(({ suite }) => suite === codename).map((each) => ({ ...each, suite: `${codename}-backports` }))
    : [];
  const all = new Map([...mirrors, ...added].map((mirror) => [`${mirror.uri} ${mirror.suite}`, mirror]));
  const stanza = ({ uri, suite, expires }) =>
    [
      'Types: deb',
      `URIs: ${uri}`,
      `Suites: ${suite}`,
      'Components: main',
      `Architectures: ${architecture}`,
      `Signed-By: ${keyring}`,
      // Neither translations nor lists of files.
      'Targets: Packages',
      ...(expires ? [] : ['Check-Valid-Until: no']),
    ].join('\n');
  return `${[...all.values()].map(stanza).join('\n\n')}\n`;
}

/**
 * Settings that make apt use a folder instead of the system's sources, lists and caches. As a file named by APT_CONFIG they
 * hold for what apt starts, too, which options on its command line do not.
 * @param {string} folder
 */
export function aptConfig(folder) {
  const settings = {
    'Dir::Etc::sourcelist': `${folder}/own.sources`,
    'Dir::Etc::sourceparts': '/dev/null',
    'Dir::State::lists': `${folder}/lists`,
    'Dir::Cache': `${folder}/cache`,
    'DPkg::Lock::Timeout': '120',
    'Dpkg::Use-Pty': '0',
  };
  return Object.entries(settings)
    .map(([name, value]) => `${name} "${value}";\n`)
    .join('');
}
