import { cp, mkdtemp, readdir, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Where the project is. */
export const CHECKOUT = new URL('../..', import.meta.url).pathname

/** Big, and the same for every copy. */
const LINKED = ['node_modules', '.node']
const LEFT_OUT = ['.git', ...LINKED]

/** A copy of the checkout that may be broken. Disposing removes it. */
export interface CheckoutCopy extends AsyncDisposable {
  readonly path: string
}

/** Copies the checkout as it is now, with a link to its dependencies. */
export async function copyCheckout(): Promise<CheckoutCopy> {
  const path = await mkdtemp(join(tmpdir(), 'oras-csi-mutants-'))
  for (const name of await readdir(CHECKOUT)) {
    if (!LEFT_OUT.includes(name)) {
      await cp(join(CHECKOUT, name), join(path, name), { recursive: true })
    }
  }
  for (const name of LINKED) await symlink(join(CHECKOUT, name), join(path, name))
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) }
}
