{{/* One pod of `helm test`, of one container, as --logs asks for no name. It stays until the next test, as --logs is read when all
are over. {root, name, command, servers: whether it gets settings and secrets} */}}
{{- define "switchboard.testPod" -}}
{{- $own := include "switchboard.fullname" .root -}}
{{- $program := dict "root" .root "own" $own "component" "test" -}}
apiVersion: v1
kind: Pod
metadata:
  {{- include "switchboard.metadata" (dict "root" .root "component" "test" "name" (printf "%s-test-%s" $own .name) "annotations" (dict "helm.sh/hook" "test" "helm.sh/hook-delete-policy" "before-hook-creation")) | nindent 2 }}
spec:
  restartPolicy: Never
  serviceAccountName: {{ include "switchboard.serviceAccount" .root | quote }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  {{- with .root.Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext:
    {{- toYaml .root.Values.podSecurityContext | nindent 4 }}
  {{- with include "switchboard.placementOnce" .root }}
  {{- . | nindent 2 }}
  {{- end }}
  containers:
    - name: {{ .name }}
      image: {{ include "switchboard.image" .root }}
      imagePullPolicy: {{ .root.Values.image.pullPolicy }}
      command:
        {{- toYaml .command | nindent 8 }}
      {{- if .servers }}
      env:
        {{- include "switchboard.env" $program | nindent 8 }}
      {{- end }}
      resources:
        {{- toYaml .root.Values.tests.resources | nindent 8 }}
      securityContext:
        {{- toYaml .root.Values.securityContext | nindent 8 }}
      {{- if .servers }}
      volumeMounts:
        {{- include "switchboard.mounts" $program | trim | nindent 8 }}
      {{- end }}
  {{- if .servers }}
  volumes:
    {{- include "switchboard.volumes" $program | trim | nindent 4 }}
  {{- end }}
{{- end -}}
