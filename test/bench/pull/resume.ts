import { startNode } from '../../support/driver.ts'
import { poll } from '../../support/poll.ts'
import type { Benchmark, BenchmarkContext } from '../benchmark.ts'
import { median } from '../measure.ts'
import type { Row } from '../row.ts'
import { type SlowLink, startSlowLink } from '../slow-link.ts'
import { randomBlobs } from './content.ts'
import { startMeasuredDriver } from './measured-driver.ts'
import { type ServedContent, serveContent } from './served-content.ts'
import { checkTree } from './tree-check.ts'

const CONTENT = randomBlobs('512 MiB')
const KILLED_AT = 0.8
const TABLE = 'Resume'
const WHAT = `${CONTENT.what}, driver killed at ${KILLED_AT * 100} %`

/** A driver that is killed in the middle of a pull, and the next one on its store. */
export const RESUME: Benchmark = {
  words: ['pull', 'resume'],
  table: TABLE,
  what: WHAT,
  measure: measureResume,
}

async function measureResume(context: BenchmarkContext): Promise<Row[]> {
  const { ground, rounds } = context
  await ground.require(CONTENT.bytes * 4)
  await using served = await serveContent(CONTENT, ground)
  await using link = await startSlowLink(served.host)
  const resumes: Resume[] = []
  for (let round = 0; round < rounds; round += 1) {
    resumes.push(await killAndResume(served, link, context))
  }
  const after = resumes.map((resume) => resume.after)
  const before = resumes.map((resume) => resume.before)
  return [
    {
      table: TABLE,
      what: WHAT,
      figures: [
        {
          name: 'of the blob, fetched after the kill',
          value: Math.max(...after),
          samples: after,
          atMost: 0.25,
        },
        { name: 'of the blob, fetched before it', value: median(before), samples: before },
      ],
    },
  ]
}

/** Parts of the blob that went through the link. */
interface Resume {
  readonly before: number
  readonly after: number
}

async function killAndResume(
  { name }: ServedContent,
  link: SlowLink,
  { env, ground }: BenchmarkContext,
): Promise<Resume> {
  await using node = await startNode()
  await node.configure(link.host, `server = "http://${link.host}"`)
  await using directory = await ground.fresh('resume')
  const reference = `${link.host}/${name}`
  const options = { env, directory: directory.path }
  const started = await link.counts()
  {
    await using driver = await startMeasuredDriver(node, options)
    const cut = driver.publish(reference).then(
      () => {
        throw new Error('The pull ended before the driver was killed')
      },
      // It is killed.
      () => undefined,
    )
    const share = async () => ((await link.counts()).down - started.down) / CONTENT.bytes
    const isFar = async () => (await share()) >= KILLED_AT
    await poll(isFar, { deadlineMs: 120_000, what: `${KILLED_AT * 100} % of the blob` })
    process.kill(driver.pid, 'SIGKILL')
    await cut
  }
  await poll(async () => (await link.counts()).open === 0, {
    deadlineMs: 20_000,
    what: 'the end of its connections',
  })
  const killed = await link.counts()
  await using driver = await startMeasuredDriver(node, options)
  await using published = await driver.publish(reference)
  await checkTree(published.path, CONTENT)
  const { down } = await link.counts()
  return {
    before: (killed.down - started.down) / CONTENT.bytes,
    after: (down - killed.down) / CONTENT.bytes,
  }
}
