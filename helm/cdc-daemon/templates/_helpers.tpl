{{/* The port of the web side: fixed, since the image's health check asks there. */}}
{{- define "cdc-daemon.port" -}}9645{{- end }}

{{- define "cdc-daemon.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "cdc-daemon.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else if contains (include "cdc-daemon.name" .) .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "cdc-daemon.name" .) | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "cdc-daemon.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "cdc-daemon.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{/* What selects the pod. Never the chart or its version: selectors can't be changed. */}}
{{- define "cdc-daemon.selectorLabels" -}}
app.kubernetes.io/name: {{ include "cdc-daemon.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{- define "cdc-daemon.labels" -}}
{{ include "cdc-daemon.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | quote }}
{{- end }}

{{- define "cdc-daemon.image" -}}
{{- if .Values.image.digest }}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{/* The configuration, after the checks that only the chart can make. */}}
{{- define "cdc-daemon.config" -}}
{{- $text := required "config: give the daemon's YAML (see docs/how-to/deploy.md)" .Values.config }}
{{- $config := fromYaml $text }}
{{- if hasKey $config "Error" }}
{{- fail (printf "config: not a YAML map: %s" $config.Error) }}
{{- end }}
{{- $web := get $config "web" }}
{{- $listen := "127.0.0.1:9645" }}
{{- if and (kindIs "map" $web) (hasKey $web "listen") }}
{{- $listen = get $web "listen" }}
{{- end }}
{{- $port := include "cdc-daemon.port" . }}
{{- if not (has $listen (list (printf "0.0.0.0:%s" $port) (printf "[::]:%s" $port))) }}
{{- fail (printf "config: web.listen is %v, where neither probes nor Prometheus reach the pod: set it to \"0.0.0.0:%s\"" $listen $port) }}
{{- end }}
{{- if and (gt (int .Values.replicas) 1) .Values.state.claim }}
{{- fail "replicas is more than 1, and state.claim names one folder for all of them: each pod needs its own" }}
{{- end }}
{{- if and (gt (int .Values.replicas) 1) (ne .Values.role "projector") (ne (include "cdc-daemon.standsBy" .) "true") }}
{{- fail (printf "replicas is %d, and the configuration doesn't say `standby: true`: two pods would fight for one slot. Replicas that share the work have `role: projector`" (int .Values.replicas)) }}
{{- end }}
{{- trimSuffix "\n" $text }}
{{- end }}

{{/* Whether a pod waits while another one runs the pipeline. */}}
{{- define "cdc-daemon.standsBy" -}}
{{- $config := fromYaml .Values.config }}
{{- eq (toString (get $config "standby")) "true" }}
{{- end }}
