{{/* A pod's name ends in its ordinal, and names the gateway: was-0 prefers home 1, and has it again after a restart. */}}
{{- define "switchboard.wasEnv" -}}
- name: SWITCHBOARD_WAS_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
{{- with .root.Values.auth.hs256 }}
{{- if .existingSecret.name }}
{{ include "switchboard.envSecret" (list "SWITCHBOARD_AUTH_HS256_SECRET" .existingSecret.name .existingSecret.key) }}
{{- else if .secret }}
{{ include "switchboard.envSecret" (list "SWITCHBOARD_AUTH_HS256_SECRET" $.own "hs256-secret") }}
{{- end }}
{{- end }}
{{- end -}}
