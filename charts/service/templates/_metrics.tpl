{{/* The labels by which all expressions find the release's own series: Prometheus gives a target the namespace and, as job, the
release: the PodMonitor reads it from the pods' label. */}}
{{- define "service.series" -}}
namespace="{{ .Release.Namespace }}",job="{{ include "service.name" . }}"
{{- end }}

{{/* Percent of all requests that failed within a window; what machines ask every few seconds is no user's request. */}}
{{- define "service.errorPercent" -}}
{{- $series := printf `%s,route!~"GET /(healthz|readyz)"` (include "service.series" .root) -}}
100 * sum(rate(http_request_duration_seconds_count{ {{- $series }},status=~"5.."}[{{ .window }}]))
  / sum(rate(http_request_duration_seconds_count{ {{- $series }}}[{{ .window }}]))
{{- end }}

{{/* The budget burns this many times too fast, over a long window and still over a short one
(https://sre.google/workbook/alerting-on-slos, "Multiwindow, Multi-Burn-Rate Alerts"). */}}
{{- define "service.burns" -}}
{{- $limit := printf "%v * (100 - %v)" .times .root.Values.monitoring.rules.objectivePercent -}}
{{- $recorded := printf `{namespace=%q,service=%q}` .root.Release.Namespace (include "service.name" .root) -}}
(service:request_errors:percent_rate{{ .long }}{{ $recorded }} > {{ $limit }}
  and service:request_errors:percent_rate{{ .short }}{{ $recorded }} > {{ $limit }})
{{- end }}

{{- define "service.alertLabels" -}}
severity: {{ .severity }}
namespace: {{ .root.Release.Namespace | quote }}
service: {{ include "service.name" .root | quote }}
{{- end }}

{{- define "service.runbook" -}}
{{- with .runbookURL -}}
runbook_url: {{ . | quote }}
{{- end }}
{{- end }}
