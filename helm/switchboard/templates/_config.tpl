{{/* What the programs are told: a settings file, secrets as environment variables, files of keys. */}}

{{/* One value, as TOML. Numbers come as floating point out of YAML. */}}
{{- define "switchboard.tomlValue" -}}
{{- if kindIs "bool" . -}}
{{- . -}}
{{- else if kindIs "float64" . -}}
{{- if eq (floor .) . -}}{{- int64 . -}}{{- else -}}{{- . -}}{{- end -}}
{{- else if or (kindIs "int" .) (kindIs "int64" .) -}}
{{- . -}}
{{- else -}}
{{- toString . | toJson -}}
{{- end -}}
{{- end -}}

{{- define "switchboard.kafkaBrokers" -}}
{{- if .Values.kafka.brokers -}}
{{- regexReplaceAll "\\s+" .Values.kafka.brokers "" -}}
{{- else if .Values.dev.enabled -}}
{{- include "switchboard.fullname" . }}-kafka:9092
{{- end -}}
{{- end -}}

{{- define "switchboard.securityProtocol" -}}
{{- with .Values.kafka -}}
{{- if and .sasl.enabled .tls.enabled -}}sasl_ssl{{- else if .sasl.enabled -}}sasl_plaintext{{- else if .tls.enabled -}}ssl{{- else -}}plaintext{{- end -}}
{{- end -}}
{{- end -}}

{{/* The settings file. */}}
{{- define "switchboard.toml" -}}
{{- $kafka := dict "brokers" (include "switchboard.kafkaBrokers" .) "security_protocol" (include "switchboard.securityProtocol" .) "replication" .Values.kafka.replication "min_insync" .Values.kafka.minInsync -}}
{{- with .Values.kafka -}}
{{- if .topicPrefix -}}{{- $_ := set $kafka "topic_prefix" .topicPrefix -}}{{- end -}}
{{- if .sasl.enabled -}}
{{- $_ := set $kafka "sasl_mechanism" .sasl.mechanism -}}
{{- end -}}
{{- if and .tls.enabled (or .tls.ca.secret .tls.ca.configMap) -}}{{- $_ := set $kafka "ca_file" "/etc/switchboard/kafka-ca/ca.pem" -}}{{- end -}}
{{- end -}}
{{- $auth := dict "leeway" .Values.auth.leeway "dev_tokens" .Values.auth.devTokens -}}
{{- with .Values.auth -}}
{{- if .issuer -}}{{- $_ := set $auth "issuer" .issuer -}}{{- end -}}
{{- if .audience -}}{{- $_ := set $auth "audience" .audience -}}{{- end -}}
{{- if include "switchboard.keyFile" (list . "jwks") -}}{{- $_ := set $auth "jwks_file" "/etc/switchboard/jwks/jwks.json" -}}{{- end -}}
{{- if include "switchboard.keyFile" (list . "publicKey") -}}{{- $_ := set $auth "key_file" "/etc/switchboard/public-key/key.pem" -}}{{- end -}}
{{- end -}}
{{- $redis := dict -}}
{{- if .Values.redis.keyPrefix -}}{{- $_ := set $redis "key_prefix" .Values.redis.keyPrefix -}}{{- end -}}
{{- $all := dict
      "lanes" .Values.lanes
      "homes" .Values.homes
      "kafka" $kafka
      "redis" $redis
      "auth" $auth
      "log" (dict "format" .Values.log.format "level" .Values.log.level)
      "admin" (dict "listen" (printf "%s:9100" .Values.listenAddress))
      "was" (dict "listen" (printf "%s:8080" .Values.listenAddress)) -}}
{{- $all = mergeOverwrite $all (deepCopy .Values.settings) -}}
{{- range $key := keys $all | sortAlpha -}}
{{- $value := index $all $key -}}
{{- if not (kindIs "map" $value) }}
{{ $key }} = {{ include "switchboard.tomlValue" $value }}
{{- end -}}
{{- end -}}
{{- range $section := keys $all | sortAlpha -}}
{{- $values := index $all $section -}}
{{- if and (kindIs "map" $values) $values }}

[{{ $section }}]
{{- range $key := keys $values | sortAlpha }}
{{- $value := index $values $key }}
{{- if not (kindIs "invalid" $value) }}
{{ $key }} = {{ include "switchboard.tomlValue" $value }}
{{- end }}
{{- end }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Whether a file with keys of tokens is given: (list auth name) */}}
{{- define "switchboard.keyFile" -}}
{{- with index (index . 0) (index . 1) -}}
{{- if or .inline .configMap .secret -}}yes{{- end -}}
{{- end -}}
{{- end -}}

{{/* What lies in the ConfigMap. */}}
{{- define "switchboard.configData" -}}
switchboard.toml: |
  {{- include "switchboard.toml" . | trim | nindent 2 }}
{{- with .Values.auth.jwks.inline }}
jwks.json: |
  {{- . | trim | nindent 2 }}
{{- end }}
{{- with .Values.auth.publicKey.inline }}
key.pem: |
  {{- . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* What lies in the chart's own Secret: what was given in the values. Empty when existing ones are named. */}}
{{- define "switchboard.secretData" -}}
{{- if and .Values.kafka.sasl.enabled .Values.kafka.sasl.password (not .Values.kafka.sasl.existingSecret.name) }}
kafka-sasl-password: {{ .Values.kafka.sasl.password | b64enc }}
{{- end }}
{{- if and .Values.postgres.url (not .Values.postgres.existingSecret.name) }}
postgres-url: {{ .Values.postgres.url | b64enc }}
{{- end }}
{{- if and .Values.redis.url (not .Values.redis.existingSecret.name) }}
redis-url: {{ .Values.redis.url | b64enc }}
{{- end }}
{{- if and .Values.auth.hs256.secret (not .Values.auth.hs256.existingSecret.name) }}
hs256-secret: {{ .Values.auth.hs256.secret | b64enc }}
{{- end }}
{{- if and .Values.push.enabled .Values.push.webhook.url (not .Values.push.webhook.existingSecret.name) }}
push-webhook-url: {{ .Values.push.webhook.url | b64enc }}
push-webhook-secret: {{ .Values.push.webhook.secret | b64enc }}
{{- end }}
{{- end -}}

{{/* One variable out of a Secret: (list variable secret key) */}}
{{- define "switchboard.envSecret" -}}
- name: {{ index . 0 }}
  valueFrom:
    secretKeyRef:
      name: {{ index . 1 }}
      key: {{ index . 2 }}
{{- end -}}

{{/* Variables of every program. {root, own: name of the chart's Secret} */}}
{{- define "switchboard.env" -}}
{{- $root := .root -}}
{{- $own := .own -}}
- name: SWITCHBOARD_CONFIG
  value: /etc/switchboard/config/switchboard.toml
{{- with $root.Values.kafka.sasl }}
{{- if .enabled }}
{{- if and .existingSecret.name .existingSecret.usernameKey }}
{{ include "switchboard.envSecret" (list "SWITCHBOARD_KAFKA_SASL_USERNAME" .existingSecret.name .existingSecret.usernameKey) }}
{{- else }}
- name: SWITCHBOARD_KAFKA_SASL_USERNAME
  value: {{ .username | quote }}
{{- end }}
{{- if .existingSecret.name }}
{{ include "switchboard.envSecret" (list "SWITCHBOARD_KAFKA_SASL_PASSWORD" .existingSecret.name .existingSecret.passwordKey) }}
{{- else }}
{{ include "switchboard.envSecret" (list "SWITCHBOARD_KAFKA_SASL_PASSWORD" $own "kafka-sasl-password") }}
{{- end }}
{{- end }}
{{- end }}
{{- with $root.Values.postgres }}
{{- if .existingSecret.name }}
{{ include "switchboard.envSecret" (list "SWITCHBOARD_POSTGRES_URL" .existingSecret.name .existingSecret.key) }}
{{- else if .url }}
{{ include "switchboard.envSecret" (list "SWITCHBOARD_POSTGRES_URL" $own "postgres-url") }}
{{- else }}
{{- $host := .host }}
{{- $secret := .passwordSecret.name }}
{{- $key := .passwordSecret.key }}
{{- if and (not $host) $root.Values.dev.enabled }}
{{- $host = printf "%s-postgres" (include "switchboard.fullname" $root) }}
{{- $secret = $host }}
{{- $key = "password" }}
{{- end }}
{{ include "switchboard.envSecret" (list "POSTGRES_PASSWORD" $secret $key) }}
- name: SWITCHBOARD_POSTGRES_URL
  value: {{ printf "host='%s' port=%v dbname='%s' user='%s' password='$(POSTGRES_PASSWORD)'" $host .port .database .username | quote }}
{{- end }}
{{- end }}
{{- with $root.Values.redis }}
{{- if .existingSecret.name }}
{{ include "switchboard.envSecret" (list "SWITCHBOARD_REDIS_URL" .existingSecret.name .existingSecret.key) }}
{{- else if .url }}
{{ include "switchboard.envSecret" (list "SWITCHBOARD_REDIS_URL" $own "redis-url") }}
{{- else }}
{{- $host := .host }}
{{- if and (not $host) $root.Values.dev.enabled }}
{{- $host = printf "%s-redis" (include "switchboard.fullname" $root) }}
{{- end }}
{{- $user := "" }}
{{- if .passwordSecret.name }}
{{- $user = printf "%s:$(REDIS_PASSWORD)@" .username }}
{{ include "switchboard.envSecret" (list "REDIS_PASSWORD" .passwordSecret.name .passwordSecret.key) }}
{{- end }}
- name: SWITCHBOARD_REDIS_URL
  value: {{ printf "%s://%s%s:%v/%v" (ternary "rediss" "redis" .tls) $user $host .port .database | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Files of every program. {root, config: name of the ConfigMap, auth: whether keys of tokens are read} */}}
{{- define "switchboard.volumes" -}}
- name: config
  configMap:
    name: {{ .config }}
    items:
      - key: switchboard.toml
        path: switchboard.toml
{{- with .root.Values.kafka.tls }}
{{- if .enabled }}
{{- if .ca.secret }}
- name: kafka-ca
  secret:
    secretName: {{ .ca.secret }}
    items:
      - key: {{ .ca.key }}
        path: ca.pem
{{- else if .ca.configMap }}
- name: kafka-ca
  configMap:
    name: {{ .ca.configMap }}
    items:
      - key: {{ .ca.key }}
        path: ca.pem
{{- end }}
{{- end }}
{{- end }}
{{- if .auth }}
{{- include "switchboard.keyVolume" (list . "jwks" "jwks" "jwks.json") }}
{{- include "switchboard.keyVolume" (list . "publicKey" "public-key" "key.pem") }}
{{- end }}
{{- end -}}

{{- define "switchboard.keyVolume" -}}
{{- $given := index (index . 0).root.Values.auth (index . 1) -}}
{{- $own := (index . 0).config -}}
{{- $name := index . 2 -}}
{{- $file := index . 3 -}}
{{- if $given.secret }}
- name: {{ $name }}
  secret:
    secretName: {{ $given.secret }}
    items:
      - key: {{ $given.key }}
        path: {{ $file }}
{{- else if $given.configMap }}
- name: {{ $name }}
  configMap:
    name: {{ $given.configMap }}
    items:
      - key: {{ $given.key }}
        path: {{ $file }}
{{- else if $given.inline }}
- name: {{ $name }}
  configMap:
    name: {{ $own }}
    items:
      - key: {{ $file }}
        path: {{ $file }}
{{- end }}
{{- end -}}

{{- define "switchboard.mounts" -}}
- name: config
  mountPath: /etc/switchboard/config
  readOnly: true
{{- with .root.Values.kafka.tls }}
{{- if and .enabled (or .ca.secret .ca.configMap) }}
- name: kafka-ca
  mountPath: /etc/switchboard/kafka-ca
  readOnly: true
{{- end }}
{{- end }}
{{- if .auth }}
{{- if include "switchboard.keyFile" (list .root.Values.auth "jwks") }}
- name: jwks
  mountPath: /etc/switchboard/jwks
  readOnly: true
{{- end }}
{{- if include "switchboard.keyFile" (list .root.Values.auth "publicKey") }}
- name: public-key
  mountPath: /etc/switchboard/public-key
  readOnly: true
{{- end }}
{{- end }}
{{- end -}}
