import { buildGoProgram, GO_MODULES } from './go-program.ts'

/** Builds everything before the first test: a test's time is for what it tests. One after the other: the compiler uses every core. */
// biome-ignore lint/style/noDefaultExport: vitest calls the default export of this file
export default async function buildGoPrograms(): Promise<void> {
  for (const module of GO_MODULES) await buildGoProgram(module)
}
