// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the texts are code
import type { Mutant } from './mutant.ts'

const PIN = ['test/release/pin-chart.process.test.ts']
const MONITORING = ['test/manifests/monitoring.test.ts']
const DRAWING = ['test/docs/references.test.ts']

/** What a release publishes, and what is drawn. */
export const RELEASE_MUTANTS: readonly Mutant[] = [
  {
    name: 'packages a chart that names its image by tag alone',
    file: 'release/pin-chart.ts',
    text: "change('Chart.yaml', ['annotations', ANNOTATION], digest)",
    replacement: '',
    tests: PIN,
    only: 'by digest',
  },
  {
    name: 'packages a chart with the image of somebody else',
    file: 'release/pin-chart.ts',
    text: "change('values.yaml', ['image', 'repository'], `${registry}/${repository}`)",
    replacement: '',
    tests: PIN,
    only: 'by digest',
  },
  {
    name: 'releases an image that it knows by tag',
    file: 'release/pin-chart.ts',
    text: 'if (digest === undefined) throw',
    replacement: "if (digest === 'none') throw",
    tests: PIN,
    only: 'is not made of',
  },
  {
    name: 'has a panel that does not say what it shows',
    file: 'manifests/monitoring/dashboard.json',
    text: '"description": "Reviews wait as long."',
    replacement: '"description": ""',
    tests: MONITORING,
    only: 'which are good',
  },
  {
    name: 'draws a text longer than its arrow',
    file: 'test/docs/sequence-svg.ts',
    text: 'Math.ceil(text.length * CHARACTER)',
    replacement: '0',
    tests: DRAWING,
    only: 'the room that it needs',
  },
]
