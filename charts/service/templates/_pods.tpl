{{- define "service.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "service.containerSecurity" -}}
allowPrivilegeEscalation: false
privileged: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- define "service.probe" -}}
httpGet:
  path: {{ .path | quote }}
  port: http
{{- with .initialDelaySeconds }}
initialDelaySeconds: {{ . }}
{{- end }}
periodSeconds: {{ .periodSeconds | default 10 }}
timeoutSeconds: {{ .timeoutSeconds | default 1 }}
failureThreshold: {{ .failureThreshold | default 3 }}
{{- end }}

{{/* A container of the values: what it leaves open of its securityContext is the application's. */}}
{{- define "service.container" -}}
{{- $security := mergeOverwrite (include "service.containerSecurity" . | fromYaml) (.securityContext | default dict) }}
{{- list (mergeOverwrite (deepCopy .) (dict "securityContext" $security)) | toYaml }}
{{- end }}

{{/* What runs before SIGTERM; a request goes to the application's own port. */}}
{{- define "service.preStop" -}}
{{- $hook := deepCopy . }}
{{- with $hook.httpGet }}{{ if not .port }}{{ $_ := set . "port" "http" }}{{ end }}{{ end }}
{{- toYaml $hook }}
{{- end }}

{{/* Spreading counts the pods of one revision only, or the old ones would push the new ones together. */}}
{{- define "service.spread" -}}
{{- $selector := include "service.selector" . }}
{{- with .Values.topologySpread.zones }}{{ if .enabled }}
- topologyKey: topology.kubernetes.io/zone
  maxSkew: {{ .maxSkew }}
  whenUnsatisfiable: {{ .whenUnsatisfiable }}
  matchLabelKeys: [pod-template-hash]
  labelSelector:
    matchLabels: {{- $selector | nindent 6 }}
{{- end }}{{ end }}
{{- with .Values.topologySpread.nodes }}{{ if .enabled }}
- topologyKey: kubernetes.io/hostname
  maxSkew: {{ .maxSkew }}
  whenUnsatisfiable: {{ .whenUnsatisfiable }}
  matchLabelKeys: [pod-template-hash]
  labelSelector:
    matchLabels: {{- $selector | nindent 6 }}
{{- end }}{{ end }}
{{- end }}
