import { mkdir, open, readdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import type { Mounter } from '../../../driver/volume/mounter.ts'
import { openSecondNamespace, readMounts, shareMount, whyNoMounts } from '../../support/mounts.ts'
import { skipUnless } from '../../support/skip-unless.ts'
import { type TemporaryDirectory, temporaryDirectory } from '../../support/temporary-directory.ts'

const why = await whyNoMounts()

/** What every mounter must do. `build` is given a directory of its own. */
export function describeMounter(
  name: string,
  build: (directory: string) => Promise<Mounter & Partial<Disposable>>,
): void {
  const setUp = async () => {
    await using stack = new AsyncDisposableStack()
    const directory = stack.use(await temporaryDirectory())
    stack.use(await shareMount(directory.path))
    const source = directory.file('source')
    const target = directory.file('target')
    await mkdir(directory.file('own'))
    await mkdir(source)
    await mkdir(target)
    await writeFile(`${source}/file`, 'content')
    const mounter = await build(directory.file('own'))
    stack.defer(() => mounter[Symbol.dispose]?.())
    stack.defer(() => mounter.unmountAll(target))
    const made = stack.move()
    return {
      ...{ mounter, source, target, directory },
      [Symbol.asyncDispose]: () => made.disposeAsync(),
    }
  }

  const layersOf = async ({
    source,
    directory,
  }: {
    readonly source: string
    readonly directory: TemporaryDirectory
  }) => {
    const [upper, work] = [directory.file('upper'), directory.file('work')]
    await mkdir(upper)
    await mkdir(work)
    return { lower: source, upper, work }
  }

  describe(name, () => {
    test('a mount shows the source and refuses writing', async (context) => {
      skipUnless(context, why)
      await using set = await setUp()
      await set.mounter.mountReadOnly(set.source, set.target)
      expect(await readFile(`${set.target}/file`, 'utf8')).toBe('content')
      await expect(writeFile(`${set.target}/new`, '')).rejects.toMatchObject({ code: 'EROFS' })
      await expect(writeFile(`${set.target}/file`, '')).rejects.toMatchObject({ code: 'EROFS' })
      expect((await set.mounter.mountsAt(set.target)).length).toBe(1)
    })

    test('the host and the pod, in their own mount namespaces, see it read-only, nosuid and nodev too', async (context) => {
      skipUnless(context, why)
      await using set = await setUp()
      await using host = await openSecondNamespace()
      await set.mounter.mountReadOnly(set.source, set.target)
      const seen = (await readMounts(host.pid)).filter(
        ({ mountPoint }) => mountPoint === set.target,
      )
      expect(seen.map(({ options }) => options.slice(0, 3))).toEqual([['ro', 'nosuid', 'nodev']])
      await expect(host.run('touch', `${set.target}/new`)).rejects.toThrow('Read-only file system')
      await set.mounter.unmountAll(set.target)
      const left = (await readMounts(host.pid)).filter(
        ({ mountPoint }) => mountPoint === set.target,
      )
      expect(left).toEqual([])
    })

    test('stacked mounts all go, and what is not mounted is no error', async (context) => {
      skipUnless(context, why)
      await using set = await setUp()
      for (let count = 0; count < 3; count += 1) {
        await set.mounter.mountReadOnly(set.source, set.target)
      }
      expect((await set.mounter.mountsAt(set.target)).length).toBe(3)
      await set.mounter.unmountAll(set.target)
      expect(await set.mounter.mountsAt(set.target)).toEqual([])
      await set.mounter.unmountAll(set.target)
      await set.mounter.unmountAll(`${set.target}/not/there`)
    })

    test('a target below a symbolic link is found in mountinfo all the same', async (context) => {
      skipUnless(context, why)
      await using set = await setUp()
      await symlink(set.directory.path, set.directory.file('link'))
      const target = set.directory.file('link', 'target')
      await set.mounter.mountReadOnly(set.source, target)
      expect((await set.mounter.mountsAt(target)).length).toBe(1)
      await set.mounter.unmountAll(target)
      expect(await set.mounter.mountsAt(set.target)).toEqual([])
    })

    test('a mount in use is UNAVAILABLE, and stays', async (context) => {
      skipUnless(context, why)
      await using set = await setUp()
      await set.mounter.mountReadOnly(set.source, set.target)
      await using _ = await open(`${set.target}/file`)
      await expect(set.mounter.unmountAll(set.target)).rejects.toMatchObject({
        code: 'UNAVAILABLE',
        message: `Cannot unmount "${set.target}": EBUSY: umount2 '${set.target}'`,
      })
    })

    test('a writable mount takes what is written away from what it shows; nosuid and nodev on the host too', async (context) => {
      skipUnless(context, why)
      await using set = await setUp()
      await using host = await openSecondNamespace()
      const layers = await layersOf(set)
      await set.mounter.mountWritable(layers, set.target)
      const [mount] = (await readMounts(host.pid)).filter(
        ({ mountPoint }) => mountPoint === set.target,
      )
      expect(mount?.options.slice(0, 3)).toEqual(['rw', 'nosuid', 'nodev'])
      await host.run('touch', `${set.target}/new`)
      await writeFile(`${set.target}/file`, 'changed')
      expect(await readFile(`${set.source}/file`, 'utf8')).toBe('content')
      expect((await readdir(layers.upper)).sort()).toEqual(['file', 'new'])
      expect(await set.mounter.mountsAt(set.target)).toMatchObject([
        { overlay: { lower: layers.lower, upper: layers.upper } },
      ])
      await set.mounter.unmountAll(set.target)
      expect(await set.mounter.mountsAt(set.target)).toEqual([])
    })

    test('a writable mount in use is UNAVAILABLE, and stays', async (context) => {
      skipUnless(context, why)
      await using set = await setUp()
      await set.mounter.mountWritable(await layersOf(set), set.target)
      await using _ = await open(`${set.target}/file`)
      await expect(set.mounter.unmountAll(set.target)).rejects.toMatchObject({
        code: 'UNAVAILABLE',
        message: `Cannot unmount "${set.target}": EBUSY: umount2 '${set.target}'`,
      })
      expect((await set.mounter.mountsAt(set.target)).length).toBe(1)
    })

    test('directories that cannot be laid over each other are an error, and nothing is mounted', async (context) => {
      skipUnless(context, why)
      await using set = await setUp()
      const layers = await layersOf(set)
      for (const [wrong, fault] of [
        [{ ...layers, lower: '/nonexistent' }, 'ENOENT: '],
        [{ ...layers, upper: '/proc' }, 'EINVAL: '],
        [{ ...layers, upper: `${layers.upper}:x` }, 'Cannot lay directory "'],
      ] as const) {
        await expect(set.mounter.mountWritable(wrong, set.target)).rejects.toMatchObject({
          code: 'INTERNAL',
          message: expect.stringMatching(`^Cannot mount at "${set.target}": ${fault}`),
        })
        expect(await set.mounter.mountsAt(set.target)).toEqual([])
      }
    })

    test('a source that is not there is an error, and nothing is mounted', async (context) => {
      skipUnless(context, why)
      await using set = await setUp()
      await expect(set.mounter.mountReadOnly('/nonexistent', set.target)).rejects.toMatchObject({
        code: 'INTERNAL',
        message: expect.stringMatching(`^Cannot mount at "${set.target}": ENOENT: `),
      })
      expect(await set.mounter.mountsAt(set.target)).toEqual([])
    })
  })
}
