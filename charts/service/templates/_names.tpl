{{/* The release's name names everything: it is unique in its namespace. Names are quoted everywhere: "1e3", "on"
and "null" are names, but no strings to YAML. */}}
{{- define "service.name" -}}
{{ .Release.Name }}
{{- end }}

{{/* Labels that select the pods. A Deployment's selector cannot change, so these never grow. */}}
{{- define "service.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{- define "service.labels" -}}
{{ include "service.selector" . }}
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | quote }}
{{- end }}

{{/* Labels of the migration's pod, which are none of the selector's: the Service sends nothing to it. */}}
{{- define "service.migrationLabels" -}}
app.kubernetes.io/name: {{ printf "%s-migration" .Chart.Name | quote }}
app.kubernetes.io/part-of: {{ .Release.Name | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
{{- end }}

{{- define "service.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag }}
{{- end }}
{{- end }}

{{- define "service.account" -}}
{{- if .Values.serviceAccount.create -}}
{{ .Values.serviceAccount.name | default (include "service.name" .) }}
{{- else -}}
{{ .Values.serviceAccount.name | default "default" }}
{{- end }}
{{- end }}

{{/* The Secret that External Secrets writes. */}}
{{- define "service.externalSecret" -}}
{{ include "service.name" . }}-external
{{- end }}

{{/* The Secrets that the release's configuration comes from, as a JSON list. */}}
{{- define "service.secrets" -}}
{{- $names := list }}
{{- if .Values.secret }}{{ $names = append $names (include "service.name" .) }}{{ end }}
{{- range .Values.existingSecrets }}{{ $names = append $names .name }}{{ end }}
{{- if .Values.externalSecret.enabled }}{{ $names = append $names (include "service.externalSecret" .) }}{{ end }}
{{- $names | uniq | toJson }}
{{- end }}

{{/* "true" if the Secrets are files in the application's container. */}}
{{- define "service.secretFiles" -}}
{{- if and .Values.secretFiles.path (include "service.secrets" . | fromJsonArray) }}true{{ end }}
{{- end }}

{{/* "true" if the Service has a port of plain HTTP, "" if only that of HTTPS. */}}
{{- define "service.plain" -}}
{{- if or (not .Values.service.tls.enabled) .Values.service.tls.keepPlainPort }}true{{ end }}
{{- end }}

{{/* The name of the Service's port that all in the cluster ask, over plain HTTP whatever its number: TLS ends before it. */}}
{{- define "service.portName" -}}
{{ ternary "http" "https" (eq (include "service.plain" .) "true") }}
{{- end }}

{{/* The name of the pods' port that serves metrics, "" without one. */}}
{{- define "service.metricsPortName" -}}
{{- with int .Values.monitoring.port }}{{ ternary "http" "metrics" (eq . (int $.Values.containerPort)) }}{{ end }}
{{- end }}

{{- define "service.portNumber" -}}
{{ ternary .Values.service.port .Values.service.tls.port (eq (include "service.plain" .) "true") }}
{{- end }}
