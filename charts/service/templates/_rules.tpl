{{/* Rules about several values, which a schema cannot express. Each group is a list of problems as JSON; rules.yaml reports all of them at once. */}}

{{/* Seconds, rounded up, that durations as Go writes them take one after the other. */}}
{{- define "service.seconds" -}}
{{- $began := toDate "2006-01-02" "1970-01-02" }}
{{- $ends := mustDateModify "999999999ns" $began }}
{{- range . }}{{ $ends = mustDateModify . $ends }}{{ end }}
{{- sub (unixEpoch $ends | int64) (unixEpoch $began | int64) }}
{{- end }}

{{/* Annotations that are given in one place and rendered from another with another value. */}}
{{- define "service.contradicted" -}}
{{- $problems := list }}
{{- $rendered := .rendered | fromYaml | default dict }}
{{- $path := .path }}
{{- range $name, $value := .given }}
{{- if and (hasKey $rendered $name) (ne (get $rendered $name) $value) }}
{{- $problems = append $problems (printf "%s: %s is %q here, and %q from the values made for it" $path $name $value (get $rendered $name)) }}
{{- end }}
{{- end }}
{{- $problems | toJson }}
{{- end }}

{{- define "service.rules.pods" -}}
{{- $problems := list }}
{{- with .Values.rollingUpdate }}
{{- if and (has (.maxSurge | toString) (list "0" "0%")) (has (.maxUnavailable | toString) (list "0" "0%")) }}
{{- $problems = append $problems "rollingUpdate.maxSurge and rollingUpdate.maxUnavailable are both 0, so no pod could ever be replaced" }}
{{- end }}
{{- end }}
{{- $requests := .Values.resources.requests | default dict }}
{{- with .Values.autoscaling }}{{ if .enabled }}
{{- $least := int .minReplicas }}
{{- $most := int .maxReplicas }}
{{- if gt $least $most }}
{{- $problems = append $problems (printf "autoscaling.minReplicas (%d) is above autoscaling.maxReplicas (%d)" $least $most) }}
{{- end }}
{{- if not $requests.cpu }}
{{- $problems = append $problems "resources.requests.cpu: is missing, and autoscaling.targetCPUUtilizationPercentage is a share of it" }}
{{- end }}
{{- if and .targetMemoryUtilizationPercentage (not $requests.memory) }}
{{- $problems = append $problems "resources.requests.memory: is missing, and autoscaling.targetMemoryUtilizationPercentage is a share of it" }}
{{- end }}
{{- range $i, $metric := .metrics }}
{{- if not (hasKey $metric (lower $metric.type)) }}
{{- $problems = append $problems (printf "autoscaling.metrics[%d]: is of type %s, so it needs the key %q" $i $metric.type (lower $metric.type)) }}
{{- end }}
{{- end }}
{{- end }}{{ end }}
{{- $pods := ternary .Values.autoscaling.minReplicas .Values.replicas .Values.autoscaling.enabled | int }}
{{- with .Values.podDisruptionBudget }}{{ if and .enabled (gt $pods 1) }}
{{- $least := .minAvailable | toString }}
{{- $stay := int $least }}
{{- if hasSuffix "%" $least }}{{ $stay = div (add (mul (trimSuffix "%" $least | int) $pods) 99) 100 | int }}{{ end }}
{{- if ge $stay $pods }}
{{- $said := "podDisruptionBudget.minAvailable (%s) leaves none of %d pods to evict, so no node could ever be drained" }}
{{- $problems = append $problems (printf $said $least $pods) }}
{{- end }}
{{- end }}{{ end }}
{{- $problems | toJson }}
{{- end }}

{{- define "service.rules.end" -}}
{{- $problems := list }}
{{- $spans := list }}
{{- $said := list }}
{{- with .Values.preStop.sleep }}
{{- $spans = append $spans (printf "%ds" (int .seconds)) }}
{{- $said = append $said "preStop.sleep.seconds" }}
{{- end }}
{{- $config := .Values.config | default dict }}
{{- /* Where either is given, the other counts as the sample app's own default. */}}
{{- if or $config.DRAIN_DELAY $config.DRAIN_LIMIT }}
{{- range $name, $default := dict "DRAIN_DELAY" "3s" "DRAIN_LIMIT" "15s" }}
{{- $span := get $config $name | default $default }}
{{- if regexMatch `^(0|([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+)$` $span }}
{{- $spans = append $spans $span }}
{{- $said = append $said (printf "config.%s" $name) }}
{{- else }}
{{- $problems = append $problems (printf "config.%s: %q is no duration as 3s or 1m30s" $name $span) }}
{{- end }}
{{- end }}
{{- end }}
{{- $needed := include "service.seconds" $spans | int }}
{{- $grace := int .Values.terminationGracePeriodSeconds }}
{{- if gt $needed $grace }}
{{- $text := "terminationGracePeriodSeconds: %d is less than the %d that %s take, so pods would be killed while they drain" }}
{{- $problems = append $problems (printf $text $grace $needed (join " and " $said)) }}
{{- end }}
{{- $problems | toJson }}
{{- end }}

{{- define "service.rules.images" -}}
{{- $problems := list }}
{{- if .Values.image.requireDigest }}
{{- if not .Values.image.digest }}
{{- $problems = append $problems "image.digest: is missing, and image.requireDigest wants it: a tag may be moved" }}
{{- end }}
{{- range $list := list "extraContainers" "extraInitContainers" }}
{{- range $i, $container := get $.Values $list }}
{{- if not (regexMatch "@sha256:[0-9a-f]{64}$" $container.image) }}
{{- $problems = append $problems (printf "%s[%d].image: %q has no digest, and image.requireDigest wants one" $list $i $container.image) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- $problems | toJson }}
{{- end }}

{{- define "service.rules.service" -}}
{{- $problems := list }}
{{- with .Values.service }}
{{- if ne .type "LoadBalancer" }}
{{- if .scheme }}{{ $problems = append $problems (printf "service.scheme: is for service.type LoadBalancer, not %s" .type) }}{{ end }}
{{- if .tls.enabled }}{{ $problems = append $problems (printf "service.tls.enabled: is for service.type LoadBalancer, not %s" .type) }}{{ end }}
{{- if .hostname }}{{ $problems = append $problems (printf "service.hostname: is for service.type LoadBalancer, not %s" .type) }}{{ end }}
{{- if .sourceRanges }}{{ $problems = append $problems (printf "service.sourceRanges: is for service.type LoadBalancer, not %s" .type) }}{{ end }}
{{- end }}
{{- if .tls.enabled }}
{{- if not .tls.certificateArns }}
{{- $problems = append $problems "service.tls.certificateArns: is empty, and service.tls.enabled wants a certificate" }}
{{- end }}
{{- if not .scheme }}
{{- $problems = append $problems "service.scheme: is missing, and service.tls.enabled is about the load balancer that it makes" }}
{{- end }}
{{- if and .tls.keepPlainPort (eq (int .port) (int .tls.port)) }}
{{- $problems = append $problems (printf "service.tls.port: %d is service.port as well" (int .tls.port)) }}
{{- end }}
{{- else if .tls.certificateArns }}
{{- $problems = append $problems "service.tls.certificateArns: is given, but service.tls.enabled is false" }}
{{- end }}
{{- $scheme := .scheme | default (get (.annotations | default dict) "service.beta.kubernetes.io/aws-load-balancer-scheme") }}
{{- if and (eq .type "LoadBalancer") (eq (toString $scheme) "internet-facing") (or (not .tls.enabled) .tls.keepPlainPort) (not .allowPlainInternet) }}
{{- $problems = append $problems "service: an internet-facing load balancer would carry plain HTTP, which anyone on the network path can read and change; enable service.tls without keepPlainPort, or say service.allowPlainInternet" }}
{{- end }}
{{- if and .scheme (not (has .loadBalancerClass (list "" "service.k8s.aws/nlb"))) }}
{{- $problems = append $problems (printf "service.loadBalancerClass: %q is not the controller that service.scheme is for" .loadBalancerClass) }}
{{- end }}
{{- if not .scheme }}
{{- if .loadBalancerAttributes }}{{ $problems = append $problems "service.loadBalancerAttributes: needs service.scheme" }}{{ end }}
{{- if .targetGroupAttributes }}{{ $problems = append $problems "service.targetGroupAttributes: needs service.scheme" }}{{ end }}
{{- end }}
{{- end }}
{{- $both := dict "path" "service.annotations" "given" .Values.service.annotations "rendered" (include "service.networkBalancer" .) }}
{{- concat $problems (include "service.contradicted" $both | fromJsonArray) | toJson }}
{{- end }}

{{- define "service.rules.doors" -}}
{{- $problems := list }}
{{- with .Values.ingress }}{{ if .enabled }}
{{- if not .hosts }}
{{- $problems = append $problems "ingress.hosts: is empty, and ingress.enabled wants a name: a rule without one answers to every name" }}
{{- end }}
{{- $hosts := .hosts }}
{{- range $i, $tls := .tls }}{{ range $tls.hosts }}
{{- if not (has . $hosts) }}{{ $problems = append $problems (printf "ingress.tls[%d].hosts: %q is none of ingress.hosts" $i .) }}{{ end }}
{{- end }}{{ end }}
{{- $scheme := .scheme | default (get (.annotations | default dict) "alb.ingress.kubernetes.io/scheme") }}
{{- if and (eq (toString $scheme) "internet-facing") (not .certificateArns) (not (hasKey (.annotations | default dict) "alb.ingress.kubernetes.io/certificate-arn")) (not .allowPlainInternet) }}
{{- $problems = append $problems "ingress: an internet-facing load balancer would carry plain HTTP, which anyone on the network path can read and change; give ingress.certificateArns, or say ingress.allowPlainInternet" }}
{{- end }}
{{- if and .certificateArns (not .scheme) }}
{{- $problems = append $problems "ingress.scheme: is missing, and ingress.certificateArns is about the load balancer that it makes" }}
{{- end }}
{{- end }}{{ end }}
{{- with .Values.networkPolicy }}{{ if and .enabled (not .from) (not .fromCIDRs) }}
{{- $balanced := eq $.Values.service.type "LoadBalancer" }}
{{- $doors := dict "ingress.enabled" $.Values.ingress.enabled "service.type LoadBalancer" $balanced }}
{{- range $path, $open := $doors }}
{{- if $open }}
{{- $text := "networkPolicy.from and networkPolicy.fromCIDRs are empty, so no request through %s would arrive" }}
{{- $problems = append $problems (printf $text $path) }}
{{- end }}
{{- end }}
{{- end }}{{ end }}
{{- $both := dict "path" "ingress.annotations" "given" .Values.ingress.annotations "rendered" (include "service.applicationBalancer" .) }}
{{- concat $problems (include "service.contradicted" $both | fromJsonArray) | toJson }}
{{- end }}

{{- define "service.rules.configuration" -}}
{{- $problems := list }}
{{- with .Values.migration }}{{ if and .forwardOnly (not .enabled) }}
{{- $problems = append $problems "migration.forwardOnly: is about the Job that migration.enabled makes" }}
{{- end }}{{ end }}
{{- with .Values.externalSecret }}{{ if .enabled }}
{{- if not .store.name }}{{ $problems = append $problems "externalSecret.store.name: is missing, and externalSecret.enabled wants it" }}{{ end }}
{{- if not (or .variables .everythingOf) }}
{{- $problems = append $problems "externalSecret.variables and externalSecret.everythingOf are empty, and externalSecret.enabled wants one of them" }}
{{- end }}
{{- end }}{{ end }}
{{- range $i, $variable := .Values.extraEnv }}
{{- $from := get (dict "PORT" "containerPort" "METRICS_PORT" "monitoring.port" "SECRETS_DIR" "secretFiles.path" "IMAGE_DIGEST" "image.digest") $variable.name }}
{{- if $from }}{{ $problems = append $problems (printf "extraEnv[%d].name: %s comes from %s" $i $variable.name $from) }}{{ end }}
{{- end }}
{{- $volumes := ternary (list "secrets") list (eq (include "service.secretFiles" .) "true") }}
{{- range $i, $volume := .Values.extraVolumes }}
{{- if has $volume.name $volumes }}{{ $problems = append $problems (printf "extraVolumes[%d].name: %q is there twice" $i $volume.name) }}{{ end }}
{{- $volumes = append $volumes $volume.name }}
{{- end }}
{{- range $i, $mount := .Values.extraVolumeMounts }}
{{- if not (has $mount.name $volumes) }}
{{- $problems = append $problems (printf "extraVolumeMounts[%d].name: %q is none of extraVolumes" $i $mount.name) }}
{{- end }}
{{- end }}
{{- $names := list "app" }}
{{- range $list := list "extraContainers" "extraInitContainers" }}
{{- range $i, $container := get $.Values $list }}
{{- if has $container.name $names }}
{{- $problems = append $problems (printf "%s[%d].name: a container is called %q already" $list $i $container.name) }}
{{- end }}
{{- $names = append $names $container.name }}
{{- range $j, $mount := $container.volumeMounts }}
{{- if not (has $mount.name $volumes) }}
{{- $problems = append $problems (printf "%s[%d].volumeMounts[%d].name: %q is none of extraVolumes" $list $i $j $mount.name) }}
{{- end }}
{{- end }}
{{- if and (eq $list "extraContainers") $container.restartPolicy }}
{{- $problems = append $problems (printf "extraContainers[%d].restartPolicy: is for extraInitContainers" $i) }}
{{- end }}
{{- end }}
{{- end }}
{{- $problems | toJson }}
{{- end }}

{{- define "service.rules.access" -}}
{{- $problems := list }}
{{- with .Values.serviceAccount }}{{ if .roleArn }}
{{- if not .create }}
{{- $problems = append $problems "serviceAccount.roleArn: is an annotation of the account, which serviceAccount.create does not make" }}
{{- end }}
{{- $rendered := dict "eks.amazonaws.com/role-arn" .roleArn | toYaml }}
{{- $both := dict "path" "serviceAccount.annotations" "given" .annotations "rendered" $rendered }}
{{- $problems = concat $problems (include "service.contradicted" $both | fromJsonArray) }}
{{- end }}{{ end }}
{{- range $i, $reader := .Values.rbac.readers }}
{{- if and (eq $reader.kind "ServiceAccount") (not $reader.namespace) }}
{{- $problems = append $problems (printf "rbac.readers[%d].namespace: is missing for ServiceAccount %q" $i $reader.name) }}
{{- else if and (ne $reader.kind "ServiceAccount") $reader.namespace }}
{{- $problems = append $problems (printf "rbac.readers[%d].namespace: a %s has none" $i $reader.kind) }}
{{- end }}
{{- $accounts := and (eq $reader.kind "Group") (hasPrefix "system:serviceaccounts" $reader.name) }}
{{- if or $accounts (has $reader.name (list "system:authenticated" "system:unauthenticated" "system:anonymous")) }}
{{- $problems = append $problems (printf "rbac.readers[%d].name: %q is everybody, and secrets are for some" $i $reader.name) }}
{{- end }}
{{- end }}
{{- $problems | toJson }}
{{- end }}

{{- define "service.rules.monitoring" -}}
{{- $problems := list }}
{{- if eq (include "service.metricsPortName" .) "http" }}
{{- $balanced := eq .Values.service.type "LoadBalancer" }}
{{- range $path, $open := dict "ingress.enabled" .Values.ingress.enabled "service.type LoadBalancer" $balanced }}
{{- if $open }}
{{- $problems = append $problems (printf "monitoring.port: is containerPort, so clients of %s could read the metrics; serve them on another port, or set 0" $path) }}
{{- end }}
{{- end }}
{{- end }}
{{- with .Values.monitoring.podMonitor }}{{ if .enabled }}
{{- if not (include "service.metricsPortName" $) }}
{{- $problems = append $problems "monitoring.port: is 0, and monitoring.podMonitor.enabled wants a port to scrape" }}
{{- end }}
{{- if gt (include "service.seconds" (list .scrapeTimeout) | int) (include "service.seconds" (list .interval) | int) }}
{{- $text := "monitoring.podMonitor.scrapeTimeout: %s is longer than monitoring.podMonitor.interval, %s" }}
{{- $problems = append $problems (printf $text .scrapeTimeout .interval) }}
{{- end }}
{{- end }}{{ end }}
{{- $problems | toJson }}
{{- end }}
