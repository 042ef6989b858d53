import { spawnSync } from 'node:child_process'
import { chmodSync, globSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'

// Run by `npm pack` and `npm publish`: Node does not run TypeScript below node_modules, so the package has JavaScript, in dist/.

const ROOT = join(import.meta.dirname, '..')
const DIST = join(ROOT, 'dist')
/** Run when the image is built, on the sources. */
const NOT_SHIPPED = ['driver/compile-cache.js']

rmSync(DIST, { recursive: true, force: true })
const compiler = join(ROOT, 'node_modules/.bin/tsc')
const { status, error } = spawnSync(compiler, ['--project', 'tsconfig.release.json'], {
  cwd: ROOT,
  stdio: ['ignore', 'inherit', 'inherit'],
})
if (error !== undefined) throw error
if (status !== 0) process.exit(status ?? 1)

for (const file of NOT_SHIPPED) rmSync(join(DIST, file))
for (const file of globSync('**/*.js', { cwd: DIST })) {
  const path = join(DIST, file)
  const text = readFileSync(path, 'utf8')
  // The compiler rewrites imports; the entries of threads and processes are URLs.
  const rewritten = text.replaceAll(
    /(new URL\('\.{1,2}\/[^']+)\.ts(', import\.meta\.url\))/g,
    '$1.js$2',
  )
  const left = /['"]\.{1,2}\/[^'"\n]*\.ts['"]/.exec(rewritten)
  if (left !== null) throw new Error(`${file} still names a TypeScript file: ${left[0]}`)
  if (rewritten !== text) writeFileSync(path, rewritten)
}
chmodSync(join(DIST, 'cli/main.js'), 0o755)
