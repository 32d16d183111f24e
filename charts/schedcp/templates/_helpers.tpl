{{- define "schedcp.name" -}}
{{ .Values.nameOverride | default "schedcp" }}
{{- end }}

{{/* The labels of everything. */}}
{{- define "schedcp.labels" -}}
app.kubernetes.io/name: {{ include "schedcp.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{/* The selector of one component: (dict "root" . "component" "agent"). */}}
{{- define "schedcp.selector" -}}
app.kubernetes.io/name: {{ include "schedcp.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/* A part's image by digest, else by tag: (dict "root" . "part" "agent"). */}}
{{- define "schedcp.image" -}}
{{- $image := (index .root.Values .part).image -}}
{{- $message := printf "%s.image.repository is needed: push the image that you built (Dockerfile.*, see README) and name it here" .part -}}
{{- $repository := required $message $image.repository -}}
{{- if $image.digest -}}
{{ $repository }}@{{ $image.digest }}
{{- else -}}
{{ $repository }}:{{ $image.tag | default .root.Chart.AppVersion }}
{{- end -}}
{{- end }}

{{- define "schedcp.operatorHost" -}}
{{ include "schedcp.name" . }}-operator.{{ .Release.Namespace }}.svc
{{- end }}

{{- define "schedcp.operatorURL" -}}
{{- if .Values.operator.enabled -}}
https://{{ include "schedcp.operatorHost" . }}:8443
{{- else -}}
{{ required "operator.externalURL is needed where operator.enabled is false" .Values.operator.externalURL }}
{{- end -}}
{{- end }}

{{/* "true" where the operator's store is Redis: the embedded one has one writer, and a volume. */}}
{{- define "schedcp.redis" -}}
{{- if and .Values.operator.redisURL .Values.operator.redisURLSecret.name -}}
{{- fail "operator.redisURL and operator.redisURLSecret are given, and only one of them can count: leave the other empty" -}}
{{- end -}}
{{- if or .Values.operator.redisURL .Values.operator.redisURLSecret.name -}}
true
{{- end -}}
{{- end }}

{{/* What a process without any need for privileges gets. */}}
{{- define "schedcp.restricted" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* What the uninstallation's proof consists of exists only while it runs. */}}
{{- define "schedcp.hook" -}}
helm.sh/hook: pre-delete
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end }}

{{/*
The TLS files, as YAML: given ones, else those of the last installation, else new ones. All are
worked out together, once for each rendering, because both certificates come from one authority.
*/}}
{{- define "schedcp.tls" -}}
{{- $name := include "schedcp.name" . -}}
{{- $space := .Release.Namespace -}}
{{- $agent := lookup "v1" "Secret" $space (printf "%s-agent-tls" $name) -}}
{{- $operator := lookup "v1" "Secret" $space (printf "%s-operator-tls" $name) -}}
{{- $days := int .Values.tls.validityDays -}}
{{- $ca := genCA (printf "%s-ca" $name) $days -}}
{{- $given := .Values.tls -}}
{{- $result := dict -}}
{{- if $given.agent.certificate -}}
{{- $_ := set $result "agentCertificate" $given.agent.certificate -}}
{{- $_ := set $result "agentKey" $given.agent.key -}}
{{- $_ := set $result "agentCA" ($given.agent.ca | default "") -}}
{{- else if $agent -}}
{{- $_ := set $result "agentCertificate" (index $agent.data "tls.crt" | b64dec) -}}
{{- $_ := set $result "agentKey" (index $agent.data "tls.key" | b64dec) -}}
{{- $_ := set $result "agentCA" (index $agent.data "ca.crt" | default "" | b64dec) -}}
{{- else -}}
{{- $names := list $given.agentServerName (printf "%s-agent" $name) -}}
{{- $made := genSignedCert $given.agentServerName nil $names $days $ca -}}
{{- $_ := set $result "agentCertificate" $made.Cert -}}
{{- $_ := set $result "agentKey" $made.Key -}}
{{- $_ := set $result "agentCA" $ca.Cert -}}
{{- end -}}
{{- if $given.operator.certificate -}}
{{- $_ := set $result "operatorCertificate" $given.operator.certificate -}}
{{- $_ := set $result "operatorKey" $given.operator.key -}}
{{- $_ := set $result "operatorCA" ($given.operator.ca | default $given.operator.certificate) -}}
{{- else if $operator -}}
{{- $_ := set $result "operatorCertificate" (index $operator.data "tls.crt" | b64dec) -}}
{{- $_ := set $result "operatorKey" (index $operator.data "tls.key" | b64dec) -}}
{{- $_ := set $result "operatorCA" (index $operator.data "ca.crt" | b64dec) -}}
{{- else -}}
{{- $host := include "schedcp.operatorHost" . -}}
{{- $names := list $host (printf "%s.cluster.local" $host) (printf "%s-operator" $name) -}}
{{- $made := genSignedCert $host nil $names $days $ca -}}
{{- $_ := set $result "operatorCertificate" $made.Cert -}}
{{- $_ := set $result "operatorKey" $made.Key -}}
{{- $_ := set $result "operatorCA" $ca.Cert -}}
{{- end -}}
{{- if not .Values.operator.enabled -}}
{{- $_ := set $result "operatorCA" .Values.operator.externalCA -}}
{{- end -}}
{{- $result | toJson -}}
{{- end }}
