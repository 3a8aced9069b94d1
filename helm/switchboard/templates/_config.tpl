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

{{- define "switchboard.redisAddresses" -}}
{{- if .Values.redis.addresses -}}
{{- regexReplaceAll "\\s+" .Values.redis.addresses "" -}}
{{- else if .Values.dev.enabled -}}
{{- include "switchboard.fullname" . }}-redis:6379
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
{{- if .tls.enabled -}}
{{- if or .tls.ca.secret .tls.ca.configMap -}}{{- $_ := set $kafka "ca_file" "/etc/switchboard/kafka-ca/ca.pem" -}}{{- end -}}
{{- if .tls.client.secret -}}
{{- $_ := set $kafka "certificate_file" "/etc/switchboard/kafka-client/client.pem" -}}
{{- $_ := set $kafka "key_file" "/etc/switchboard/kafka-client/client.key" -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $postgres := dict -}}
{{- if ne .Values.postgres.tls.mode "disable" -}}{{- $_ := set $postgres "tls" .Values.postgres.tls.mode -}}{{- end -}}
{{- with .Values.postgres.tls.ca -}}
{{- if or .secret .configMap -}}{{- $_ := set $postgres "ca_file" "/etc/switchboard/postgres-ca/ca.pem" -}}{{- end -}}
{{- end -}}
{{- $auth := dict "leeway" .Values.auth.leeway "dev_tokens" .Values.auth.devTokens -}}
{{- with .Values.auth -}}
{{- if .issuer -}}{{- $_ := set $auth "issuer" .issuer -}}{{- end -}}
{{- if .audience -}}{{- $_ := set $auth "audience" .audience -}}{{- end -}}
{{- if include "switchboard.keyFile" (list . "jwks") -}}{{- $_ := set $auth "jwks_file" "/etc/switchboard/jwks/jwks.json" -}}{{- end -}}
{{- if include "switchboard.keyFile" (list . "publicKey") -}}{{- $_ := set $auth "key_file" "/etc/switchboard/public-key/key.pem" -}}{{- end -}}
{{- end -}}
{{- $redis := dict -}}
{{- with .Values.redis -}}
{{- if .keyPrefix -}}{{- $_ := set $redis "key_prefix" .keyPrefix -}}{{- end -}}
{{- if .cluster -}}{{- $_ := set $redis "cluster" true -}}{{- end -}}
{{- if .sentinel.master -}}{{- $_ := set $redis "sentinel_master" .sentinel.master -}}{{- end -}}
{{- if or .tls.ca.secret .tls.ca.configMap -}}{{- $_ := set $redis "ca_file" "/etc/switchboard/redis-ca/ca.pem" -}}{{- end -}}
{{- end -}}
{{- $all := dict
      "lanes" .Values.lanes
      "homes" .Values.homes
      "kafka" $kafka
      "postgres" $postgres
      "redis" $redis
      "auth" $auth
      "log" (dict "format" .Values.log.format "level" .Values.log.level)
      "trace" (ternary (dict "endpoint" .Values.trace.endpoint "sample" .Values.trace.sample) dict (ne .Values.trace.endpoint ""))
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
  {{- . | trim | nindent 2 }}
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

{{/* Secrets of a program: each lies in a file under /etc/switchboard/secrets, and a variable names it. {root, own: name of the chart's
Secret, component} */}}
{{- define "switchboard.secrets" -}}
{{- $v := .root.Values -}}
{{- $own := .own -}}
{{- $secrets := list -}}
{{- with $v.kafka.sasl -}}
{{- if .enabled -}}
{{- if and .existingSecret.name .existingSecret.usernameKey -}}
{{- $secrets = append $secrets (dict "of" "kafka.sasl_username" "secret" .existingSecret.name "key" .existingSecret.usernameKey) -}}
{{- end -}}
{{- $given := ternary (dict "secret" .existingSecret.name "key" .existingSecret.passwordKey) (dict "secret" $own "key" "kafka-sasl-password") (ne .existingSecret.name "") -}}
{{- $secrets = append $secrets (merge (dict "of" "kafka.sasl_password") $given) -}}
{{- end -}}
{{- end -}}
{{- range $server := list "postgres" "redis" -}}
{{- with index $v $server -}}
{{- if .existingSecret.name -}}
{{- $secrets = append $secrets (dict "of" (printf "%s.url" $server) "secret" .existingSecret.name "key" .existingSecret.key) -}}
{{- else if .url -}}
{{- $secrets = append $secrets (dict "of" (printf "%s.url" $server) "secret" $own "key" (printf "%s-url" $server)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- with $v.redis.sentinel.passwordSecret -}}
{{- if .name -}}
{{- $secrets = append $secrets (dict "of" "redis.sentinel_password" "secret" .name "key" .key) -}}
{{- end -}}
{{- end -}}
{{- if and $v.trace.endpoint $v.trace.existingSecret.name (has .component (list "was" "classifier" "push")) -}}
{{- $secrets = append $secrets (dict "of" "trace.headers" "secret" $v.trace.existingSecret.name "key" $v.trace.existingSecret.key) -}}
{{- end -}}
{{- if eq .component "was" -}}
{{- with $v.auth.hs256 -}}
{{- if .existingSecret.name -}}
{{- $secrets = append $secrets (dict "of" "auth.hs256_secret" "secret" .existingSecret.name "key" .existingSecret.key) -}}
{{- else if .secret -}}
{{- $secrets = append $secrets (dict "of" "auth.hs256_secret" "secret" $own "key" "hs256-secret") -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if eq .component "push" -}}
{{- with $v.push.webhook -}}
{{- if .existingSecret.name -}}
{{- $secrets = append $secrets (dict "of" "push.webhook_url" "secret" .existingSecret.name "key" .existingSecret.urlKey) -}}
{{- $secrets = append $secrets (dict "of" "push.webhook_secret" "secret" .existingSecret.name "key" .existingSecret.secretKey) -}}
{{- else if .url -}}
{{- $secrets = append $secrets (dict "of" "push.webhook_url" "secret" $own "key" "push-webhook-url") -}}
{{- $secrets = append $secrets (dict "of" "push.webhook_secret" "secret" $own "key" "push-webhook-secret") -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toJson $secrets -}}
{{- end -}}

{{/* Variables of a program. {root, own, component} */}}
{{- define "switchboard.env" -}}
{{- $root := .root -}}
- name: SWITCHBOARD_CONFIG
  value: /etc/switchboard/config/switchboard.toml
{{- range include "switchboard.secrets" . | fromJsonArray }}
- name: SWITCHBOARD_{{ .of | replace "." "_" | upper }}_FILE
  value: /etc/switchboard/secrets/{{ .of }}
{{- end }}
{{- with $root.Values.kafka.sasl }}
{{- if and .enabled (not (and .existingSecret.name .existingSecret.usernameKey)) }}
- name: SWITCHBOARD_KAFKA_SASL_USERNAME
  value: {{ .username | quote }}
{{- end }}
{{- end }}
{{- /* Addresses in parts: what is put together of variables is one. */}}
{{- with $root.Values.postgres }}
{{- if not (or .url .existingSecret.name) }}
{{- $host := .host }}
{{- $secret := .passwordSecret.name }}
{{- $key := .passwordSecret.key }}
{{- if and (not $host) $root.Values.dev.enabled }}
{{- $host = printf "%s-postgres" (include "switchboard.fullname" $root) }}
{{- $secret = $host }}
{{- $key = "password" }}
{{- end }}
- name: POSTGRES_PASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ quote $secret }}
      key: {{ quote $key }}
- name: SWITCHBOARD_POSTGRES_URL
  value: {{ printf "host='%s' port=%v dbname='%s' user='%s' password='$(POSTGRES_PASSWORD)'" $host .port .database .username | quote }}
{{- end }}
{{- end }}
{{- with $root.Values.redis }}
{{- if not (or .url .existingSecret.name) }}
{{- $user := "" }}
{{- with .passwordSecret }}
{{- if .name }}
{{- $user = printf "%s:$(REDIS_PASSWORD)@" $root.Values.redis.username }}
- name: REDIS_PASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ quote .name }}
      key: {{ quote .key }}
{{- end }}
{{- end }}
- name: SWITCHBOARD_REDIS_URL
  value: {{ printf "%s://%s%s%s" (ternary "rediss" "redis" .tls.enabled) $user (include "switchboard.redisAddresses" $root) (ternary "" (printf "/%v" .database) .cluster) | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Files of a program that are no secrets of one line, each in a folder of its own under /etc/switchboard. {root, own, component} */}}
{{- define "switchboard.files" -}}
{{- $v := .root.Values -}}
{{- $files := list (dict "name" "config" "configMap" .own "items" (list (dict "key" "switchboard.toml" "path" "switchboard.toml"))) -}}
{{- range $server := list "kafka" "postgres" "redis" -}}
{{- $tls := (index $v $server).tls -}}
{{- with $tls.ca -}}
{{- if and (or .secret .configMap) (or (ne $server "kafka") $tls.enabled) -}}
{{- $files = append $files (dict "name" (printf "%s-ca" $server) "secret" .secret "configMap" .configMap "items" (list (dict "key" .key "path" "ca.pem"))) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- with $v.kafka.tls -}}
{{- if and .enabled .client.secret -}}
{{- $files = append $files (dict "name" "kafka-client" "secret" .client.secret "items" (list (dict "key" .client.certificateKey "path" "client.pem") (dict "key" .client.keyKey "path" "client.key"))) -}}
{{- end -}}
{{- end -}}
{{- if eq .component "was" -}}
{{- range $name, $at := dict "jwks" (list "jwks" "jwks.json") "publicKey" (list "public-key" "key.pem") -}}
{{- $given := index $v.auth $name -}}
{{- $file := index $at 1 -}}
{{- if or $given.secret $given.configMap -}}
{{- $files = append $files (dict "name" (index $at 0) "secret" $given.secret "configMap" $given.configMap "items" (list (dict "key" $given.key "path" $file))) -}}
{{- else if $given.inline -}}
{{- $files = append $files (dict "name" (index $at 0) "configMap" $.own "items" (list (dict "key" $file "path" $file))) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and (eq .component "push") $v.push.fcm.existingSecret.name -}}
{{- with $v.push.fcm.existingSecret -}}
{{- $files = append $files (dict "name" "fcm" "secret" .name "items" (list (dict "key" .key "path" "credentials.json"))) -}}
{{- end -}}
{{- end -}}
{{- toJson $files -}}
{{- end -}}

{{- define "switchboard.volumes" -}}
{{- range include "switchboard.files" . | fromJsonArray }}
- name: {{ .name }}
  {{- if .secret }}
  secret:
    secretName: {{ quote .secret }}
  {{- else }}
  configMap:
    name: {{ quote .configMap }}
  {{- end }}
    items:
      {{- toYaml .items | nindent 6 }}
{{- end }}
{{- with include "switchboard.secrets" . | fromJsonArray }}
- name: secrets
  projected:
    sources:
      {{- range . }}
      - secret:
          name: {{ quote .secret }}
          items:
            - key: {{ quote .key }}
              path: {{ .of }}
      {{- end }}
{{- end }}
{{- end -}}

{{- define "switchboard.mounts" -}}
{{- range include "switchboard.files" . | fromJsonArray }}
- name: {{ .name }}
  mountPath: /etc/switchboard/{{ .name }}
  readOnly: true
{{- end }}
{{- if include "switchboard.secrets" . | fromJsonArray }}
- name: secrets
  mountPath: /etc/switchboard/secrets
  readOnly: true
{{- end }}
{{- end -}}
