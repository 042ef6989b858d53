import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { parseDocument } from 'yaml'
import { parseReference } from '../common/oci/reference.ts'

// node release/pin-chart.ts chart ghcr.io/acme/oras-csi:1.2.3@sha256:...
//
// Run before `helm package`: the chart of a release runs the image that was pushed with it, whatever becomes of the tag.

/** Read by the template `oras-csi.image`. */
const ANNOTATION = 'csi.oras.land/image-digest'

const [chart, image, ...others] = process.argv.slice(2)
if (chart === undefined || image === undefined || others.length > 0) {
  throw new Error('Usage: node release/pin-chart.ts CHART IMAGE')
}
const { registry, repository, digest } = parseReference(image)
if (digest === undefined) throw new Error(`Image "${image}" has no digest`)

change('Chart.yaml', ['annotations', ANNOTATION], digest)
change('values.yaml', ['image', 'repository'], `${registry}/${repository}`)

/** Sets one value of a file of the chart; its comments stay. */
function change(file: string, path: readonly string[], value: string): void {
  const document = parseDocument(readFileSync(join(String(chart), file), 'utf8'))
  if (!document.hasIn(path.slice(0, -1))) {
    throw new Error(`The chart's ${file} has no "${path.slice(0, -1).join('.')}"`)
  }
  document.setIn(path, value)
  writeFileSync(
    join(String(chart), file),
    document.toString({ lineWidth: 0, flowCollectionPadding: false }),
  )
}
