{{- define "stillwell.labels" -}}
app.kubernetes.io/name: stillwell
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/part-of: stillwell
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "stillwell.selector" -}}
app.kubernetes.io/name: stillwell
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "stillwell.subject" -}}
- kind: ServiceAccount
  name: {{ .Release.Name }}
  namespace: {{ .Release.Namespace }}
{{- end }}

{{- define "stillwell.config" -}}
global:
  scrape_interval: {{ .Values.scrapeInterval }}
{{- if .Values.inferencePools.enabled }}
inference_pools:
  namespaces: {{ toJson .Values.inferencePools.namespaces }}
{{- end }}
{{- if .Values.monitors.enabled }}
monitors:
  namespaces: {{ toJson (required "monitors.namespaces: name the namespaces of the monitors" .Values.monitors.namespaces) }}
  scrape_interval: {{ .Values.scrapeInterval }}
{{- end }}
{{- if .Values.kubeState.enabled }}
kube_state:
  all: {{ .Values.kubeState.all }}
  namespaces: {{ toJson .Values.kubeState.namespaces }}
{{- end }}
{{- if .Values.events.enabled }}
events:
  namespaces: {{ toJson .Values.events.namespaces }}
{{- end }}
{{- with .Values.signals }}
signals:
{{ toYaml . }}
{{- end }}
external_metrics:
  {{- if .Values.rules }}
  rules_files: [rules.yaml]
  {{- end }}
  {{- if not .Values.apiServices.custom }}
  custom_api_groups: []
  {{- end }}
{{- with .Values.extraConfig }}
{{ toYaml . }}
{{- end }}
{{- end }}
