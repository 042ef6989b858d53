import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { ANNOTATIONS } from '../../common/composition/composition.ts'
import { mutate } from '../../webhook/mutate.ts'
import { misplacedAnnotations } from '../../webhook/workload-template.ts'
import { CHECKOUT } from '../manifests/manifest-objects.ts'
import { thrownBy } from '../support/thrown.ts'
import { readDoc } from './blocks.ts'

/** Said by Kubernetes, the API server or Go, not by us. */
const OF_OTHERS = [
  'failed calling webhook "mutate.csi.oras.land"',
  'driver name csi.oras.land not found in the list of registered CSI drivers',
  'secrets "acme-pull" not found',
]

/** What stands for a value in the messages that the page shows. */
const VALUES =
  /"(?:https:\/\/)?[a-z0-9./:-]*ghcr\.io[^"]*"|"(?:shop|refernce)"|oras\.land\/artifacts\S* \(line \d+, column \d+\)|401 Unauthorized \(UNAUTHORIZED\)|404 Not Found \(MANIFEST_UNKNOWN\)|secret of the volume, anonymous access|[\d.]+ GiB|of [\d.]+ GiB|\bin namespace\b|\(the limit|http:\/\/ghcr\.io|\ba Deployment\b|spec\.template|oras\.options\.plainhttp|--min-free-bytes|oras\.land\/artifacts|"reference"/

const SOURCES = ['common', 'webhook', 'driver', 'manifests/base']
  .flatMap((folder) =>
    readdirSync(join(CHECKOUT, folder), { recursive: true, encoding: 'utf8' })
      .filter((name) => /\.(?:ts|yaml)$/.test(name))
      .map((name) => readFileSync(join(CHECKOUT, folder, name), 'utf8')),
  )
  .join('\n')
  .replaceAll("\\'", "'")

describe('troubleshooting.md', () => {
  const messages = readDoc('docs/troubleshooting.md')
    .split(/^## /m)
    .filter((section) => /^(?:Refused|Waiting|The webhook)$/m.test(section.split('\n')[0] ?? ''))
    .flatMap((part) => [...part.matchAll(/^\| `([^`]+ [^`]+)`/gm)].map(([, text]) => text ?? ''))

  test('quotes messages', () => {
    expect(messages.length).toBeGreaterThan(20)
  })

  test('shows denials as the webhook writes them', () => {
    const written = [
      denial('/app: ghcr.io/acme/app'),
      denial('- refernce: ghcr.io/acme/app:v1\n  mountPath: /app'),
      ...misplacedAnnotations(
        { name: 'Deployment', template: ['spec', 'template'] },
        { metadata: { annotations: { [ANNOTATIONS.artifacts]: '' } } },
      ),
    ]
    const shown = messages.filter((message) => /^Invalid |has no effect/.test(message))
    expect(shown).toEqual(written)
  })

  test.each([...new Set(messages)].filter((text) => !OF_OTHERS.includes(text)))('%s', (message) => {
    const parts = message
      .split(new RegExp(VALUES, 'g'))
      .map((part) =>
        part
          .trim()
          .replace(/^[;:,.]+|[;:,]+$/g, '')
          .trim(),
      )
      .filter((part) => part.length > 3)
    expect(parts).not.toEqual([])
    expect(parts.filter((part) => !SOURCES.includes(part))).toEqual([])
  })
})

function denial(artifacts: string): string {
  const pod = {
    metadata: { annotations: { [ANNOTATIONS.artifacts]: artifacts } },
    spec: { containers: [{ name: 'java' }] },
  }
  return thrownBy(() => mutate(pod)).replace(/^INVALID /, '')
}
