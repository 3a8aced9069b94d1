{{/* A pod's name ends in its ordinal, and names the gateway: was-0 prefers home 1, and has it again after a restart. */}}
{{- define "switchboard.wasEnv" -}}
- name: SWITCHBOARD_WAS_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
{{- end -}}
