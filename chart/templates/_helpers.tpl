{{/* Why each object is as it is, manifests/base says; a test compares what both make. */}}

{{/* Labels of every object, beside its own. Not of pods: selectors never change. */}}
{{- define "oras-csi.labels" -}}
app.kubernetes.io/part-of: oras-csi
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{/* A published chart knows its image by digest; not in its values, which an upgrade with --reuse-values takes from the chart before. */}}
{{- define "oras-csi.image" -}}
{{- $released := index (.Chart.Annotations | default dict) "csi.oras.land/image-digest" -}}
{{- with .Values.image -}}
{{- $digest := .digest | default (empty .tag | ternary $released "") -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}{{ with $digest }}@{{ . }}{{ end }}
{{- end -}}
{{- end }}

{{/* Image, and how it is pulled, of a container. */}}
{{- define "oras-csi.imageFields" -}}
image: {{ include "oras-csi.image" . }}
{{- with .Values.image.pullPolicy }}
imagePullPolicy: {{ . }}
{{- end }}
{{- end }}

{{/* Secrets of a pod's spec. */}}
{{- define "oras-csi.imagePullSecrets" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}

{{/* Further flags, from a map. */}}
{{- define "oras-csi.flags" -}}
{{- range $name, $value := . }}
- {{ printf "--%s=%s" $name $value | quote }}
{{- end }}
{{- end }}

{{/* Which namespaces admission is about. */}}
{{- define "oras-csi.namespaceSelector" -}}
matchExpressions:
  - key: kubernetes.io/metadata.name
    operator: NotIn
    values: {{ concat (list "kube-system" "kube-node-lease" .Release.Namespace .Values.driver.namespace) .Values.webhook.excludedNamespaces | toJson }}
  - key: oras.land/inject
    operator: NotIn
    values: [disabled]
{{- end }}

{{/* The secret that the webhook's pods mount. */}}
{{- define "oras-csi.certificateSecret" -}}
{{ eq .Values.certificate.source "self-signed" | ternary "oras-csi-webhook-self-signed" "oras-csi-webhook-certificate" }}
{{- end }}

{{/* The pods that make the certificate without cert-manager: of the Job and of the CronJob. */}}
{{- define "oras-csi.certificatePod" -}}
metadata:
  labels:
    app.kubernetes.io/name: oras-csi
    app.kubernetes.io/component: certificate
spec:
  serviceAccountName: oras-csi-certificate
  automountServiceAccountToken: true
  enableServiceLinks: false
  restartPolicy: OnFailure
  {{- include "oras-csi.imagePullSecrets" . | indent 2 }}
  nodeSelector:
    {{- merge (dict "kubernetes.io/os" "linux") .Values.webhook.nodeSelector | toYaml | nindent 4 }}
  {{- $controlPlane := dict "key" "node-role.kubernetes.io/control-plane" "operator" "Exists" }}
  {{- $addons := dict "key" "CriticalAddonsOnly" "operator" "Exists" }}
  tolerations:
    {{- concat (list $controlPlane $addons) .Values.webhook.tolerations | uniq | toYaml | nindent 4 }}
  securityContext:
    runAsNonRoot: true
    seccompProfile:
      type: RuntimeDefault
  containers:
    - name: certificate
      {{- include "oras-csi.imageFields" . | nindent 6 }}
      args:
        - webhook/self-signed/main.ts
        - --namespace={{ .Release.Namespace }}
        - --secret=oras-csi-webhook-self-signed
        - --service=oras-csi-webhook
        - --configuration=oras-csi
        - --valid-for=8760h
        - --renew-before=2160h
      resources:
        requests:
          cpu: 10m
          memory: 96Mi
        limits:
          memory: 256Mi
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities:
          drop: [ALL]
{{- end }}

{{/* The name changes with the content, so that the driver is restarted: it is its environment. */}}
{{- define "oras-csi.proxyData" -}}
{{- with .Values.proxy }}
{{- with .https }}
HTTPS_PROXY: {{ . | quote }}
{{- end }}
{{- with .http }}
HTTP_PROXY: {{ . | quote }}
{{- end }}
NO_PROXY: {{ .noProxy | quote }}
{{- end }}
{{- end }}

{{- define "oras-csi.proxyName" -}}
oras-csi-proxy-{{ include "oras-csi.proxyData" . | sha256sum | trunc 10 }}
{{- end }}

{{/* The volume of an OCI layout, by its place in the list. */}}
{{- define "oras-csi.layoutName" -}}
artifacts{{ . | int | eq 0 | ternary "" (printf "-%d" (int .)) }}
{{- end }}
