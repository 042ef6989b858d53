import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { buildTree } from '../../driver/pull/tree/tree-builder.ts'
import type { TreeJob } from '../../driver/pull/tree/tree-job.ts'
import { DEFAULT_TREE_LIMITS } from '../../driver/pull/tree/tree-limits.ts'
import { hostileArchive } from '../fuzz/archives.ts'
import { createRandom } from '../fuzz/random.ts'
import { skipUnless } from '../support/skip-unless.ts'
import { type TemporaryDirectory, temporaryDirectory } from '../support/temporary-directory.ts'
import { archives, type GeneratedArchive } from './generated-archive.ts'
import { fixedSeed } from './seed.ts'
import { type Fact, factsOf, withModes } from './tree-facts.ts'

const COUNT = 300
/** Ten seconds on an idle machine. */
const TIMEOUT_MS = 120_000
// The list of allowed skips repeats the words.
const NO_PYTHON = 'no python3 with tarfile.data_filter'
const JOB = { flavour: 'artifact', modes: 'keep', limits: DEFAULT_TREE_LIMITS } as const
const NEVER = new AbortController().signal

/** Archives on disk, `0.tar`, `1.tar` ..., and our trees of them. */
interface Laid extends AsyncDisposable {
  readonly directory: TemporaryDirectory
  readonly numbers: readonly number[]
  ours(number: number): Record<string, Fact>
}

async function layOut(
  generated: readonly GeneratedArchive[],
  modes: TreeJob['modes'],
): Promise<Laid> {
  const directory = await temporaryDirectory()
  for (const [number, { tar, compressed }] of generated.entries()) {
    writeFileSync(directory.file(`${number}.tar`), tar)
    const blobPath = directory.file(`${number}.blob`)
    writeFileSync(blobPath, compressed)
    const root = directory.file(`${number}.ours`)
    mkdirSync(root)
    const steps = [{ kind: 'unpack', blobPath, path: '' }] as const
    await buildTree({ ...JOB, root, modes, steps }, NEVER)
  }
  return {
    directory,
    numbers: [...generated.keys()],
    ours: (number) => factsOf(directory.file(`${number}.ours`)),
    [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose](),
  }
}

// One shell for all of them. Without the last flag but two, GNU tar forgets the time of a directory that it comes back to.
const GNU_TAR = `
umask 022
for archive in *.tar; do
  mkdir "\${archive%.tar}.theirs"
  tar -xp --warning=no-timestamp --warning=no-unknown-keyword --no-same-owner --delay-directory-restore -C "\${archive%.tar}.theirs" -f "$archive" || exit
done`

const { seed } = fixedSeed(COUNT)

test(`${COUNT} archives give the tree that GNU tar gives (seed ${seed})`, {
  timeout: TIMEOUT_MS,
}, async () => {
  const generated = fc.sample(archives({ duplicates: true }), fixedSeed(COUNT))
  await using laid = await layOut(generated, 'keep')
  const { directory, numbers, ours } = laid
  const { stderr, status } = spawnSync('bash', ['-c', GNU_TAR], {
    cwd: directory.path,
    encoding: 'utf8',
  })
  expect({ stderr, status }).toEqual({ stderr: '', status: 0 })
  for (const number of numbers) {
    // volumes.md "Modes": without setuid, setgid, sticky.
    const theirs = withModes(factsOf(directory.file(`${number}.theirs`)), (mode) => mode & 0o777)
    expect(ours(number), `archive ${number}`).toEqual(theirs)
  }
  expectVariety(numbers.map(ours))
})

// One process for all of them.
const PYTHON = `
import os, sys, tarfile
os.umask(0o022)
for number in range(int(sys.argv[1])):
    os.mkdir(f"{number}.theirs")
    with tarfile.open(f"{number}.tar") as archive:
        archive.extractall(f"{number}.theirs", filter="data")
`

/** An interpreter whose tarfile knows filters: 3.12, or a patched older one. */
function python(): string | undefined {
  return ['python3', '/usr/bin/python3'].find(
    (name) => spawnSync(name, ['-c', 'import tarfile; tarfile.data_filter']).status === 0,
  )
}

test(`${COUNT} archives give the tree that Python's data filter gives (seed ${seed})`, {
  timeout: TIMEOUT_MS,
}, async (context) => {
  const interpreter = python()
  skipUnless(context, interpreter === undefined ? NO_PYTHON : undefined)
  const generated = fc.sample(archives({ duplicates: false }), fixedSeed(COUNT))
  await using laid = await layOut(generated, 'readable')
  const { directory, numbers, ours } = laid
  execFileSync(interpreter ?? '', ['-c', PYTHON, String(COUNT)], { cwd: directory.path })
  for (const number of numbers) {
    const theirs = factsOf(directory.file(`${number}.theirs`))
    expect(inMilliseconds(withModes(ours(number), ownerBits)), `archive ${number}`).toEqual(
      inMilliseconds(withModes(theirs, ownerBits)),
    )
  }
  expectVariety(numbers.map(ours))
})

const PYTHON_VERDICTS = `
import json, sys, tarfile
verdicts = []
for number in range(int(sys.argv[1])):
    try:
        with tarfile.open(f"{number}.tar") as archive:
            archive.extractall(f"{number}.theirs", filter="data")
        verdicts.append("")
    except tarfile.FilterError as error:
        verdicts.append(type(error).__name__)
    except Exception as error:
        verdicts.append("")
print(json.dumps(verdicts))
`

test(`what Python's data filter refuses of ${COUNT} hostile archives, we refuse (seed ${seed})`, {
  timeout: TIMEOUT_MS,
}, async (context) => {
  const interpreter = python()
  skipUnless(context, interpreter === undefined ? NO_PYTHON : undefined)
  const random = createRandom(seed)
  await using directory = await temporaryDirectory()
  const refused: boolean[] = []
  for (let number = 0; number < COUNT; number++) {
    const blobPath = directory.file(`${number}.tar`)
    writeFileSync(blobPath, hostileArchive(random))
    const root = directory.file(`${number}.ours`)
    mkdirSync(root)
    const steps = [{ kind: 'unpack', blobPath, path: '' }] as const
    refused.push(
      await buildTree({ ...JOB, root, steps }, NEVER).then(
        () => false,
        () => true,
      ),
    )
  }
  const output = execFileSync(interpreter ?? '', ['-c', PYTHON_VERDICTS, String(COUNT)], {
    cwd: directory.path,
    encoding: 'utf8',
  })
  const verdicts: readonly string[] = JSON.parse(output)
  const taken = verdicts.flatMap((verdict, number) =>
    verdict !== '' && refused[number] === false ? [`${number}: ${verdict}`] : [],
  )
  expect(taken).toEqual([])
  expect(new Set(verdicts)).toEqual(
    new Set([
      '',
      'AbsoluteLinkError',
      'LinkOutsideDestinationError',
      'OutsideDestinationError',
      'SpecialFileError',
    ]),
  )
})

/**
 * volumes.md "Modes" gives group and others the owner's r and x; Python gives files the owner's rw at least, x to nobody when the owner
 * has none, and directories what the umask says. What both leave as it is: the owner's x of files.
 */
function ownerBits(mode: number, kind: 'file' | 'directory'): number {
  return kind === 'directory' ? 0 : mode & 0o100
}

/** Python keeps times as doubles. */
function inMilliseconds(facts: Readonly<Record<string, Fact>>): Record<string, object> {
  return Object.fromEntries(
    Object.entries(facts).map(([path, fact]) =>
      'mtimeNs' in fact && fact.mtimeNs !== undefined
        ? [path, { ...fact, mtimeNs: (fact.mtimeNs + 500_000n) / 1_000_000n }]
        : [path, fact],
    ),
  )
}

/** Nobody has shown anything by agreeing on empty trees. */
function expectVariety(trees: readonly Record<string, Fact>[]): void {
  const facts = trees.flatMap((tree) => Object.entries(tree))
  const count = (wanted: (path: string, fact: Fact) => boolean) =>
    facts.filter(([path, fact]) => wanted(path, fact)).length
  expect(
    Math.min(
      ...(['file', 'directory', 'symlink'] as const).map((kind) =>
        count((_, fact) => fact.kind === kind),
      ),
    ),
  ).toBeGreaterThan(100)
  expect(count((path, fact) => fact.kind === 'file' && fact.sameAs !== path)).toBeGreaterThan(50)
  expect(count((path) => Buffer.byteLength(path) > 255)).toBeGreaterThan(30)
}
