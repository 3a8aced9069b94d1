{{- define "switchboard.testPod" -}}
apiVersion: v1
kind: Pod
metadata:
  {{- include "switchboard.metadata" (dict "root" .root "component" "test" "name" .name "annotations" (dict "helm.sh/hook" "test" "helm.sh/hook-delete-policy" "before-hook-creation,hook-succeeded")) | nindent 2 }}
spec:
  restartPolicy: Never
  serviceAccountName: {{ include "switchboard.serviceAccount" .root }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  {{- with .root.Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext:
    {{- toYaml .root.Values.podSecurityContext | nindent 4 }}
  containers:
    {{- range .commands }}
    - name: {{ .name }}
      image: {{ include "switchboard.image" $.root }}
      imagePullPolicy: {{ $.root.Values.image.pullPolicy }}
      command:
        {{- toYaml .command | nindent 8 }}
      {{- if .servers }}
      env:
        {{- include "switchboard.env" (dict "root" $.root "own" $.own) | nindent 8 }}
      {{- end }}
      resources:
        {{- toYaml $.root.Values.tests.resources | nindent 8 }}
      securityContext:
        {{- toYaml $.root.Values.securityContext | nindent 8 }}
      {{- if .servers }}
      volumeMounts:
        {{- include "switchboard.mounts" (dict "root" $.root "auth" false) | nindent 8 }}
      {{- end }}
    {{- end }}
  volumes:
    {{- include "switchboard.volumes" (dict "root" .root "config" .own) | nindent 4 }}
{{- end -}}
