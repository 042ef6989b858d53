import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { cp, readFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { type JsonObject, objectAt } from '../../webhook/json.ts'
import { startProcess, withMessage } from '../support/process.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'
import { argsOf, CHECKOUT, containerOf, objectNamed, readBase } from './manifest-objects.ts'

/** Thousands of small files are copied. */
const SLOW = { timeout: 120_000 }

const run = promisify(execFile)
const instructions = readInstructions(await readFile(join(CHECKOUT, 'Dockerfile'), 'utf8'))
const base = await readBase()

describe('the image', () => {
  test(
    'holds all that the processes and the command line need, and no development dependency',
    SLOW,
    async () => {
      await using directory = await temporaryDirectory()
      await buildInto(directory.path)
      // `npm ls` fails when a dependency is missing, and names one that is too many.
      const installed = await run('npm', ['ls', '--omit=dev', '--all', '--parseable'], {
        cwd: directory.path,
      })
      expect(installed.stdout).toContain('/node_modules/undici')
      expect(installed.stdout).not.toContain('/node_modules/vitest')

      const scripts = [
        argsOf(containerOf(objectNamed(base, 'Deployment oras-csi/oras-csi-webhook'))).script,
        argsOf(containerOf(objectNamed(base, 'DaemonSet oras-csi-node/oras-csi-driver'))).script,
        'webhook/self-signed/main.ts',
        'cli/main.ts',
      ]
      for (const script of scripts) {
        const { stdout, stderr } = await runIn(directory.path, [script, '--help'])
        expect([script, stdout.slice(0, 7), stderr]).toEqual([script, 'Usage: ', ''])
      }
      const example = join(CHECKOUT, 'manifests/examples/java.yaml')
      const preview = await runIn(directory.path, ['cli/main.ts', 'preview', '-f', example])
      expect(preview.stdout).toContain('driver: csi.oras.land')

      // What is read or started only when the driver runs: its protocol files, its threads.
      await using kubelet = await temporaryDirectory()
      await using driver = startProcess({
        args: [
          'driver/main.ts',
          `--kubelet-directory=${kubelet.path}`,
          '--health-listen=127.0.0.1:0',
        ],
        cwd: directory.path,
      })
      await driver.waitForLine(withMessage('serving'))
      driver.kill()
      expect(await driver.exited).toEqual({ code: 0, signal: null })
      expect(driver.lines.filter(({ json }) => json?.['level'] === 'error')).toEqual([])
    },
  )

  test('is not run by root unless a manifest says so, and needs no shell', () => {
    expect(instructions.filter(({ name }) => name === 'USER').at(-1)?.text).toBe('65532:65532')
    expect(instructions.filter(({ name }) => name === 'ENTRYPOINT')).toEqual([
      { name: 'ENTRYPOINT', text: '["node"]', stage: 2 },
    ])
  })

  test('is built from nothing but what .dockerignore lets in', async () => {
    const ignore = await readFile(join(CHECKOUT, '.dockerignore'), 'utf8')
    const lines = ignore.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
    const copied = instructions
      .filter(({ name, text }) => name === 'COPY' && !text.startsWith('--from'))
      .flatMap(({ text }) => text.split(' ').slice(0, -1))
    expect(lines[0]).toBe('*')
    expect(lines.slice(1).sort()).toEqual([...new Set(copied)].map((path) => `!${path}`).sort())
  })
})

interface Instruction {
  readonly name: string
  readonly text: string
  /** Which FROM it follows, from 1. */
  readonly stage: number
}

/** Reads a Dockerfile: comments dropped, continued lines joined. */
function readInstructions(text: string): readonly Instruction[] {
  const joined = text.replace(/^#.*\n/gm, '').replace(/\\\n\s*/g, '')
  let stage = 0
  return joined.split('\n').flatMap((line) => {
    const match = /^([A-Z]+) (.*)$/.exec(line)
    if (match?.[1] === undefined || match[2] === undefined) return []
    if (match[1] === 'FROM') stage += 1
    return [{ name: match[1], text: match[2], stage }]
  })
}

/**
 * Does in `directory` what the Dockerfile does in its image, except that the packages of `npm ci --omit=dev` come from
 * the checkout: package-lock.json says which.
 */
async function buildInto(directory: string): Promise<void> {
  for (const { name, text, stage } of instructions) {
    if (name === 'RUN' && text.startsWith('npm ci')) await copyPackages(directory)
    else if (name === 'RUN' && stage === 1) await run('sh', ['-c', text], { cwd: directory })
    else if (name === 'COPY' && !text.startsWith('--from')) {
      const [target = '', ...sources] = text.split(' ').reverse()
      for (const source of sources) {
        const path = target === './' ? basename(source) : target
        await cp(join(CHECKOUT, source), join(directory, path), { recursive: true })
      }
    }
  }
}

/** Copies the packages that are no development dependency; those for other platforms are not installed. */
async function copyPackages(directory: string): Promise<void> {
  const lock: JsonObject = JSON.parse(await readFile(join(CHECKOUT, 'package-lock.json'), 'utf8'))
  const paths = Object.entries(objectAt(lock, 'packages') ?? {}).flatMap(([path, entry]) =>
    // Packages inside another one come with it.
    /^node_modules\/(?:@[^/]+\/)?[^/]+$/.test(path) && Object(entry).dev !== true ? [path] : [],
  )
  const installed = paths.filter((path) => existsSync(join(CHECKOUT, path)))
  await run('cp', ['-R', '--parents', ...installed, directory], { cwd: CHECKOUT })
}

/** Runs Node in `directory` with nothing of this process's environment. */
function runIn(directory: string, args: readonly string[]) {
  return run(process.execPath, [...args], { cwd: directory, env: {} })
}
