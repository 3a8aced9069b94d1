{{/* A pod of one of the programs. {root, own, component, command, env, ports, preStop} with the values
of its component. */}}
{{- define "switchboard.podTemplate" -}}
{{- $root := .root -}}
{{- $v := index $root.Values .component -}}
{{- $selector := dict "root" $root "component" .component -}}
metadata:
  labels:
    {{- include "switchboard.podLabels" $selector | nindent 4 }}
    switchboard/metrics: "true"
    {{- with $v.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    kubectl.kubernetes.io/default-container: {{ .component }}
    checksum/config: {{ include "switchboard.configData" $root | sha256sum }}
    {{- with include "switchboard.secretData" $root }}
    checksum/secret: {{ . | sha256sum }}
    {{- end }}
    {{- if $root.Values.metrics.podAnnotations }}
    prometheus.io/scrape: "true"
    prometheus.io/port: "9100"
    prometheus.io/path: /metrics
    {{- end }}
    {{- with mergeOverwrite (deepCopy ($root.Values.commonAnnotations | default dict)) ($v.podAnnotations | default dict) }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "switchboard.serviceAccount" $root | quote }}
  automountServiceAccountToken: false
  # The variables that would be set for Services named switchboard-… are unknown settings to the programs.
  enableServiceLinks: false
  {{- with $root.Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext:
    {{- toYaml $root.Values.podSecurityContext | nindent 4 }}
  terminationGracePeriodSeconds: {{ if eq (toString $v.terminationGracePeriodSeconds) "" }}{{ include "switchboard.grace" (list $root .component) }}{{ else }}{{ int $v.terminationGracePeriodSeconds }}{{ end }}
  {{- with include "switchboard.placement" (dict "root" $root "v" $v "component" .component) | trim }}
  {{- . | nindent 2 }}
  {{- end }}
  {{- with $v.extraPodSpec }}
  {{- tpl (toYaml .) $root | nindent 2 }}
  {{- end }}
  {{- if or (eq $root.Values.setup.mode "init") $v.extraInitContainers }}
  initContainers:
    {{- with $v.extraInitContainers }}
    {{- tpl (toYaml .) $root | nindent 4 }}
    {{- end }}
    {{- if eq $root.Values.setup.mode "init" }}
    - name: setup
      {{- include "switchboard.setupContainer" . | nindent 6 }}
    {{- end }}
  {{- end }}
  containers:
    - name: {{ .component }}
      image: {{ include "switchboard.image" $root }}
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      command:
        {{- toYaml .command | nindent 8 }}
      {{- with $v.extraArgs }}
      args:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      env:
        {{- include "switchboard.env" . | nindent 8 }}
        {{- with .env }}
        {{- . | nindent 8 }}
        {{- end }}
        {{- with $v.extraEnv }}
        {{- tpl (toYaml .) $root | nindent 8 }}
        {{- end }}
      {{- with $v.extraEnvFrom }}
      envFrom:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      ports:
        {{- with .ports }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
        - name: admin
          containerPort: 9100
          protocol: TCP
      startupProbe:
        httpGet:
          path: /livez
          port: admin
        {{- toYaml $v.startupProbe | nindent 8 }}
      readinessProbe:
        httpGet:
          path: /readyz
          port: admin
        {{- toYaml $v.readinessProbe | nindent 8 }}
      livenessProbe:
        httpGet:
          path: /livez
          port: admin
        {{- toYaml $v.livenessProbe | nindent 8 }}
      {{- with .preStop }}
      lifecycle:
        preStop:
          sleep:
            seconds: {{ . }}
      {{- end }}
      {{- with $v.resources }}
      resources:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      securityContext:
        {{- toYaml $root.Values.securityContext | nindent 8 }}
      terminationMessagePolicy: FallbackToLogsOnError
      volumeMounts:
        {{- include "switchboard.mounts" . | trim | nindent 8 }}
        {{- with $v.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    {{- with $v.extraContainers }}
    {{- tpl (toYaml .) $root | nindent 4 }}
    {{- end }}
  volumes:
    {{- include "switchboard.volumes" . | trim | nindent 4 }}
    {{- with $v.extraVolumes }}
    {{- tpl (toYaml .) $root | nindent 4 }}
    {{- end }}
{{- end -}}

{{/* Where pods run. */}}
{{- define "switchboard.placement" -}}
{{- $lines := list -}}
{{- range $key := list "nodeSelector" "affinity" "tolerations" "hostAliases" "dnsConfig" -}}
{{- with index $.v $key }}
{{ $key }}:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- range $key := list "priorityClassName" "schedulerName" "runtimeClassName" "dnsPolicy" -}}
{{- with index $.v $key }}
{{ $key }}: {{ quote . }}
{{- end }}
{{- end }}
{{- if .v.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- tpl (toYaml .v.topologySpreadConstraints) .root | nindent 2 }}
{{- else if or (ne .v.topologySpread.zones "off") (ne .v.topologySpread.nodes "off") }}
topologySpreadConstraints:
{{- range $what, $key := dict "zones" "topology.kubernetes.io/zone" "nodes" "kubernetes.io/hostname" }}
{{- $how := index $.v.topologySpread $what }}
{{- if ne $how "off" }}
  - topologyKey: {{ $key }}
    maxSkew: 1
    whenUnsatisfiable: {{ ternary "DoNotSchedule" "ScheduleAnyway" (eq $how "hard") }}
    # A zone in which only nodes are that don't take these pods is none.
    nodeTaintsPolicy: Honor
    labelSelector:
      matchLabels:
        {{- include "switchboard.selector" (dict "root" $.root "component" $.component) | nindent 8 }}
    {{- if ne $.component "was" }}
    matchLabelKeys:
      - pod-template-hash
    {{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Where a pod that ends by itself runs: on nodes as classifiers have them, and with their names, as it talks to the same servers. */}}
{{- define "switchboard.placementOnce" -}}
{{- $v := omit .Values.classifier "topologySpreadConstraints" "affinity" -}}
{{- $_ := set $v "topologySpread" (dict "zones" "off" "nodes" "off") -}}
{{- with .Values.classifier.affinity.nodeAffinity -}}
{{- $_ := set $v "affinity" (dict "nodeAffinity" .) -}}
{{- end -}}
{{- include "switchboard.placement" (dict "root" . "v" $v "component" "setup") | trim -}}
{{- end -}}

{{/* `classifier setup`, in a Job or before each program. {root, own, component: of the pod} */}}
{{- define "switchboard.setupContainer" -}}
image: {{ include "switchboard.image" .root }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
command: [classifier, setup]
env:
  {{- include "switchboard.env" . | nindent 2 }}
  {{- with .root.Values.setup.extraEnv }}
  {{- tpl (toYaml .) $.root | nindent 2 }}
  {{- end }}
{{- with .root.Values.setup.resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- toYaml .root.Values.securityContext | nindent 2 }}
terminationMessagePolicy: FallbackToLogsOnError
volumeMounts:
  {{- include "switchboard.mounts" . | trim | nindent 2 }}
{{- end -}}
