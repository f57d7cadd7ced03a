{{/* The annotations that the Service of a Network Load Balancer gets from the values, for the AWS Load Balancer Controller
(https://kubernetes-sigs.github.io/aws-load-balancer-controller/latest/guide/service/annotations/). */}}
{{- define "service.networkBalancer" -}}
{{- $service := .Values.service }}
{{- if $service.scheme }}
service.beta.kubernetes.io/aws-load-balancer-type: external
service.beta.kubernetes.io/aws-load-balancer-scheme: {{ $service.scheme }}
service.beta.kubernetes.io/aws-load-balancer-nlb-target-type: {{ $service.targetType }}
service.beta.kubernetes.io/aws-load-balancer-healthcheck-protocol: http
service.beta.kubernetes.io/aws-load-balancer-healthcheck-path: {{ .Values.probes.readiness.path | quote }}
{{- with $service.loadBalancerAttributes }}
service.beta.kubernetes.io/aws-load-balancer-attributes: {{ include "service.pairs" . | quote }}
{{- end }}
{{- with $service.targetGroupAttributes }}
service.beta.kubernetes.io/aws-load-balancer-target-group-attributes: {{ include "service.pairs" . | quote }}
{{- end }}
{{- end }}
{{- if $service.tls.enabled }}
service.beta.kubernetes.io/aws-load-balancer-ssl-cert: {{ join "," $service.tls.certificateArns | quote }}
service.beta.kubernetes.io/aws-load-balancer-ssl-ports: {{ $service.tls.port | toString | quote }}
service.beta.kubernetes.io/aws-load-balancer-ssl-negotiation-policy: {{ $service.tls.policy | quote }}
{{- end }}
{{- with $service.hostname }}
external-dns.alpha.kubernetes.io/hostname: {{ . | quote }}
{{- end }}
{{- end }}

{{/* The same for the Ingress of an Application Load Balancer
(https://kubernetes-sigs.github.io/aws-load-balancer-controller/latest/guide/ingress/annotations/). */}}
{{- define "service.applicationBalancer" -}}
{{- with .Values.ingress }}
{{- if .scheme }}
alb.ingress.kubernetes.io/scheme: {{ .scheme }}
alb.ingress.kubernetes.io/target-type: ip
alb.ingress.kubernetes.io/healthcheck-path: {{ $.Values.probes.readiness.path | quote }}
{{- if .certificateArns }}
alb.ingress.kubernetes.io/listen-ports: '[{"HTTP":80},{"HTTPS":443}]'
alb.ingress.kubernetes.io/ssl-redirect: "443"
alb.ingress.kubernetes.io/certificate-arn: {{ join "," .certificateArns | quote }}
alb.ingress.kubernetes.io/ssl-policy: {{ .policy | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "service.pairs" -}}
{{- $pairs := list }}
{{- range $name, $value := . }}{{ $pairs = append $pairs (printf "%s=%s" $name $value) }}{{ end }}
{{- join "," $pairs }}
{{- end }}

{{/* The annotations of the values on top of those that the chart renders (rules.yaml: they do not contradict each other). */}}
{{- define "service.annotations" -}}
{{- $all := mergeOverwrite (.rendered | fromYaml | default dict) (.given | default dict) }}
{{- if $all }}{{ toYaml $all }}{{ end }}
{{- end }}
