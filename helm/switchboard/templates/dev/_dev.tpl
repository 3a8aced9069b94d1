{{/* Pieces of the servers for a first try. */}}

{{- define "switchboard.devSecurity" -}}
runAsNonRoot: true
runAsUser: {{ int . }}
runAsGroup: {{ int . }}
fsGroup: {{ int . }}
# Postgres refuses a folder that its group may write, as a second start would make it.
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "switchboard.devVolume" -}}
{{- if not .Values.dev.persistence.enabled -}}
- name: data
  emptyDir:
    sizeLimit: {{ .Values.dev.persistence.size }}
{{- end -}}
{{- end -}}

{{- define "switchboard.devClaim" -}}
{{- with .Values.dev.persistence -}}
{{- if .enabled -}}
persistentVolumeClaimRetentionPolicy:
  whenDeleted: Delete
  whenScaled: Retain
volumeClaimTemplates:
  - metadata:
      name: data
    spec:
      accessModes: [ReadWriteOnce]
      {{- with .storageClass }}
      storageClassName: {{ quote . }}
      {{- end }}
      resources:
        requests:
          storage: {{ .size }}
{{- end -}}
{{- end -}}
{{- end -}}
