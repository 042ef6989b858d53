import { readFile } from 'node:fs/promises'
import { status } from '@grpc/grpc-js'
import { describe, expect, test } from 'vitest'
import { artifact, load } from '../support/artifact.ts'
import { startNode } from '../support/driver.ts'
import { whyNoMounts } from '../support/mounts.ts'
import { startRegistry } from '../support/registry.ts'
import { skipUnless } from '../support/skip-unless.ts'

const why = await whyNoMounts()
const OLD = artifact({ layers: [{ title: 'a.txt', content: 'old' }] })
const NEW = artifact({ layers: [{ title: 'a.txt', content: 'new' }] })

interface Case {
  /** What stands behind the repository. */
  readonly name: string
  readonly policy?: string
  /** What the first pod sees. */
  readonly first: 'old' | 'NOT_FOUND'
  /** What a pod sees after the tag has moved, with the artifact of the first one on the node. */
  readonly later: 'old' | 'new'
}

const AT = `@${OLD.digest}`
const CASES: readonly Case[] = [
  { name: '', first: 'old', later: 'new' },
  { name: ':latest', first: 'old', later: 'new' },
  { name: ':v1', first: 'old', later: 'old' },
  { name: AT, first: 'old', later: 'old' },
  { name: ':v1', policy: 'Always', first: 'old', later: 'new' },
  { name: AT, policy: 'Always', first: 'old', later: 'old' },
  { name: ':latest', policy: 'IfNotPresent', first: 'old', later: 'old' },
  { name: AT, policy: 'IfNotPresent', first: 'old', later: 'old' },
  { name: ':v1', policy: 'Never', first: 'NOT_FOUND', later: 'old' },
  { name: ':latest', policy: 'Never', first: 'NOT_FOUND', later: 'old' },
  { name: AT, policy: 'Never', first: 'NOT_FOUND', later: 'old' },
]

describe('pull policies', { timeout: 120_000 }, () => {
  test("have the kubelet's meaning", async (context) => {
    skipUnless(context, why)
    await using registry = await startRegistry()
    await using node = await startNode(registry)
    await using driver = await node.startDriver()
    let pods = 0
    /** What a new pod sees, and whether the registry was asked. */
    const show = async (reference: string, policy: string | undefined) => {
      registry.clearRequests()
      pods += 1
      const request = await node.request(`pod-${pods}`, `${registry.host}/${reference}`, {
        attributes: policy === undefined ? {} : { 'oras.options.pullpolicy': policy },
      })
      try {
        await driver.csi.nodePublishVolume(request)
      } catch (error) {
        if (!(error instanceof Error && 'code' in error)) throw error
        return { shown: status[Number(error.code)], asked: registry.requests.length > 0 }
      }
      const asked = registry.requests.length > 0
      const shown = await readFile(`${request.target_path}/a.txt`, 'utf8')
      await driver.csi.nodeUnpublishVolume(request)
      return { shown, asked }
    }
    for (const [at, { name, policy, first, later }] of CASES.entries()) {
      const repository = `acme/app-${at}`
      const tag = name.startsWith(':') ? name.slice(1) : 'latest'
      load(registry, `${repository}:${tag}`, OLD)
      const found = [await show(repository + name, policy)]
      // A policy that pulls nothing needs another pod to have pulled it.
      if (first === 'NOT_FOUND') await show(repository + name, 'IfNotPresent')
      load(registry, `${repository}:${tag}`, NEW)
      found.push(await show(repository + name, policy))
      expect({ name, policy, found }).toStrictEqual({
        ...{ name, policy },
        found: [
          { shown: first, asked: first === 'old' },
          { shown: later, asked: later === 'new' },
        ],
      })
    }
  })
})
