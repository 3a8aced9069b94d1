{{/* A hook runs before everything else is there: it brings its own settings and secrets. */}}
{{- define "switchboard.hook" -}}
helm.sh/hook: pre-install,pre-upgrade
helm.sh/hook-weight: {{ .weight | quote }}
helm.sh/hook-delete-policy: {{ .delete }}
{{- end -}}
