import { type AdmissionReview, controllerMadePod, podReview } from '../support/admission-review.ts'

const POD_BYTES = 10 * 1024

/** The review of a pod of 10 KiB with three entries, as a ReplicaSet makes it in a cluster with a mesh. */
export function busyReview(): AdmissionReview {
  const review = podReview(busyPod(''))
  const bytes = JSON.stringify(review.request.object).length
  return podReview(busyPod('x'.repeat(Math.max(0, POD_BYTES - bytes))))
}

function busyPod(filler: string): object {
  return controllerMadePod({
    annotations: {
      'oras.land/artifacts': [
        '/app: ghcr.io/acme/app:v1',
        '/models: ghcr.io/acme/models:v3',
        '/etc/ssl/acme: ghcr.io/acme/certs:v7',
      ].join('\n'),
      'example.com/filler': filler,
    },
    spec: {
      containers: [
        container('app', 40),
        { ...container('istio-proxy', 30), image: 'istio/proxyv2:1' },
      ],
      volumes: ['a', 'b', 'c'].map((name) => ({ name, configMap: { name, defaultMode: 420 } })),
      serviceAccountName: 'default',
      restartPolicy: 'Always',
    },
  })
}

/** With many variables, as real ones have: JSON of many small parts costs more than one long text. */
function container(name: string, variables: number): object {
  return {
    name,
    image: 'debian:12',
    env: Array.from({ length: variables }, (_, index) =>
      index % 5 === 0
        ? {
            name: `POD_${index}`,
            valueFrom: { fieldRef: { apiVersion: 'v1', fieldPath: 'metadata.name' } },
          }
        : { name: `SETTING_${index}`, value: `value of ${index}` },
    ),
    ports: [{ containerPort: 8080, protocol: 'TCP' }],
    resources: { requests: { cpu: '100m', memory: '128Mi' } },
    volumeMounts: ['a', 'b', 'c'].map((volume) => ({ name: volume, mountPath: `/mnt/${volume}` })),
  }
}
