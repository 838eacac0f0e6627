{{- /* What several parts have in common. Those that name a part take (list . "code"). */}}

{{- define "writebacks.selector" -}}
app.kubernetes.io/name: writebacks
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "writebacks.common" -}}
app.kubernetes.io/part-of: writebacks
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "writebacks.metadata" -}}
name: {{ (index . 0).Release.Name }}-{{ index . 1 }}
labels:
  {{- include "writebacks.selector" . | nindent 2 }}
  {{- include "writebacks.common" (index . 0) | nindent 2 }}
{{- end }}

{{- define "writebacks.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- /* A pod's labels; it begins anew when Dagster's configuration or a variable changes. */}}
{{- define "writebacks.pod.metadata" -}}
labels:
  {{- include "writebacks.selector" . | nindent 2 }}
annotations:
  checksum/configuration: {{ include (print (index . 0).Template.BasePath "/configuration.yaml") (index . 0) | sha256sum }}
{{- end }}

{{- /* No pod has a right on its host, and nothing to write in but two folders. */}}
{{- define "writebacks.pod" -}}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "writebacks.volumes" -}}
- name: instance
  configMap: {name: {{ .Release.Name }}-instance}
- name: home
  emptyDir: {}
- name: tmp
  emptyDir: {}
{{- end }}

{{- define "writebacks.container" -}}
image: {{ include "writebacks.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{- define "writebacks.mounts" -}}
- {name: instance, mountPath: /etc/writebacks, readOnly: true}
- {name: home, mountPath: /var/lib/writebacks}
- {name: tmp, mountPath: /tmp}
{{- end }}

{{- /* What the values add: (list VALUES INDENT), nothing where there are none. */}}
{{- define "writebacks.more" -}}
{{- with index . 0 }}
{{- toYaml . | nindent (int (index $ 1)) }}
{{- end }}
{{- end }}

{{- /* All pods of the namespaces of these names. */}}
{{- define "writebacks.namespaces" -}}
- namespaceSelector:
    matchExpressions:
      - {key: kubernetes.io/metadata.name, operator: In, values: {{ toJson . }}}
{{- end }}
