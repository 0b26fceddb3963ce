"""Which libraries make Kafka Connect with Debezium's connector, and with what writes Avro.

Beside those of Kafka itself.
"""

from __future__ import annotations

from cdc_daemon.embedded.jars import Jars

DEBEZIUM_VERSION = "3.6.1.Final"

DEBEZIUM = Jars(
    name=f"debezium-{DEBEZIUM_VERSION}",
    download_bytes=18_845_852,
    # They come before Kafka's on the class path: Debezium's Jackson is newer than Kafka's.
    pins="""
org.apache.kafka:connect-runtime:4.2.0
  055c7f391ac7b4d62cabdb4334b5f91d89bd257d22722b0d7665bdbe251470cb
org.apache.kafka:connect-json:4.2.0
  95d2f9da55e753a568ad87ee98c9c68e0998ac25eeea375c990837952170a92f
org.apache.kafka:connect-api:4.2.0
  ef604caecf0ce44e682195dbb2f5d5f44bf86e59d29d7d6c397ccc828d6a076e
org.apache.kafka:connect-transforms:4.2.0
  1bf1d2bdc476cdd54b06878749c0e7c373c08ed4d8f37c1f947e9bff2a8fe6d4
com.fasterxml.jackson.core:jackson-annotations:2.21
  53ca085f4a150f703f49e1aabd935bd03b43e1ea3d55d135438292af22cef56b
com.fasterxml.jackson.jakarta.rs:jackson-jakarta-rs-json-provider:2.19.2
  1e28f38555f59ad466e0ac1f72efcbbbe3c10ea950cb191ffe612711d9140165
org.glassfish.jersey.containers:jersey-container-servlet:3.1.10
  4aadc66d2d36afb273b3898581d6aa51e0f992308d56fd51b8e3201efa461f67
org.glassfish.jersey.inject:jersey-hk2:3.1.10
  00ed71c496a856ac1f73272482a7abe27b5a96b823c29cc08f4b708c8d3e647e
javax.xml.bind:jaxb-api:2.3.1
  88b955a0df57880a26a74708bc34f74dcaf8ebf4e78843a28b50eae945732b06
javax.activation:activation:1.1.1
  ae475120e9fcd99b4b00b38329bd61cdc5eb754eee03fe66c01f50e137724f99
org.eclipse.jetty:jetty-server:12.0.22
  dbac8c77cc006bb83f02603ae631ed81db99f5372b38e18b1ffc464edcdceba5
org.eclipse.jetty.ee10:jetty-ee10-servlet:12.0.22
  f0819307fe3108d703515d38890ca576c6b940e089ebf02993e223fd27dd945c
org.eclipse.jetty.ee10:jetty-ee10-servlets:12.0.22
  d55da9ba12b8d06d4618e6c09e0e5b64e104014b53a152b81387dad1edcb4f8a
org.eclipse.jetty:jetty-client:12.0.22
  6d975e2ed44cad0618cc34cf0645eb6781482de90b23f70de8668fc275afb5a3
io.github.classgraph:classgraph:4.8.179
  16558357f234052370109127a45d69a9bd6d8646925594792634486dc48b159d
org.apache.maven:maven-artifact:3.9.6
  ad7a0fb408f8e47585ccc0d0011e0b501d93bfc9888d369bbd4a043d19475073
io.swagger.core.v3:swagger-annotations:2.2.39
  ea3017076809f8104ff8a130dc4c12db8c67595aa1d978104a9beca8277a7d29
com.fasterxml.jackson.core:jackson-databind:2.21.2
  8c982f01f148d805f0aaac2339011244757e0df7c6ff8951f2fa3f433b8ed849
com.fasterxml.jackson.module:jackson-module-blackbird:2.19.2
  7dada397b85d64b1f33c997a813b1322d8803ed9d56d03c29b2f6ba1f6ea4397
jakarta.ws.rs:jakarta.ws.rs-api:3.1.0
  6b3b3628b8b4aedda0d24c3354335e985497d8ef3c510b8f3028e920d5b8663d
com.fasterxml.jackson.jakarta.rs:jackson-jakarta-rs-base:2.19.2
  17fe62cff6bf7aeaaf74136009af5c4b4995488c537bb6e928f70edacec8e0b0
com.fasterxml.jackson.module:jackson-module-jakarta-xmlbind-annotations:2.19.2
  bbaf447e507b14e6ffb3f755c4b1e60f52399c73f333805f34afba67ef17592b
org.glassfish.jersey.containers:jersey-container-servlet-core:3.1.10
  fd15e7e37215d772ccdae8d4076c41a11ad3fec9ca88a1f8a8f6dacf4663bb69
org.glassfish.jersey.core:jersey-common:3.1.10
  b8df5de87d48d6abf555f340755a056c8cb29a660af958e959db8a4cb3552b54
org.glassfish.jersey.core:jersey-server:3.1.10
  1b33a9be417b72f7ceef3afe9780781b66122b0f1db78f2f82502988072cfab0
org.glassfish.hk2:hk2-locator:3.0.6
  e2664d21b017c3aa1518b913264602bea604edc54d356103c10afba99abd04fc
org.javassist:javassist:3.30.2-GA
  eba37290994b5e4868f3af98ff113f6244a6b099385d9ad46881307d3cb01aaf
javax.activation:javax.activation-api:1.2.0
  43fdef0b5b6ceb31b0424b208b930c74ab58fac2ceeb7b3f6fd3aeb8b5ca4393
org.eclipse.jetty:jetty-http:12.0.22
  124b31c6e570aadd5198fa3edf639927b1ffeb95b2fad9fc707e572c11ee1c83
org.eclipse.jetty:jetty-io:12.0.22
  aba6568fcbac7abd67d7f8a8807a8ae6c645937beb6666b517b128669cc37d6f
jakarta.servlet:jakarta.servlet-api:6.0.0
  c034eb1afb158987dbb53a5fea0cadf611c8dae8daadd59c44d9d5ab70129cef
org.eclipse.jetty:jetty-security:12.0.22
  d6a779a81190479c404ccecd427ad24250a53265ed26ad1810b182a9b923e4de
org.eclipse.jetty:jetty-session:12.0.22
  15655a03efeb57f4d4fcbeb6c7d1bb341dc1a9be5e4cbaa3501c0aab11df9076
org.eclipse.jetty:jetty-util:12.0.22
  87cc0f03036b795023465613d330f58d7094da21b37bb44bcb1f6329031075e6
org.eclipse.jetty:jetty-alpn-client:12.0.22
  0c6b40cc72825e30e2935ea33c058b94783a6a7cdc345c20d2dc5585d4f8fd8d
org.codehaus.plexus:plexus-utils:3.5.1
  86e0255d4c879c61b4833ed7f13124e8bb679df47debb127326e7db7dd49a07b
org.apache.commons:commons-lang3:3.12.0
  d919d904486c037f8d193412da0c92e22a9fa24230b9d67a57855c5c31c7e94e
com.fasterxml.jackson.core:jackson-core:2.21.2
  12e8655b100267b44d0f14d01b1f5082a5105e616174dc4307be1a761e92407b
jakarta.xml.bind:jakarta.xml.bind-api:3.0.1
  b8fb4bee3ff5b5c1ef77144d8411316018d7bbd41fcf1ede0646f7978546b867
jakarta.activation:jakarta.activation-api:2.1.0
  56e8d994095fe49c28138c60291482f66f18d12ac2b720e938697dce6a3135c7
jakarta.inject:jakarta.inject-api:2.0.1
  f7dc98062fccf14126abb751b64fab12c312566e8cbdc8483598bffcea93af7c
jakarta.annotation:jakarta.annotation-api:2.1.1
  5f65fdaf424eee2b55e1d882ba9bb376be93fb09b37b808be6e22e8851c909fe
org.glassfish.hk2:osgi-resource-locator:1.0.3
  aab5d7849f7cfcda2cc7c541ba1bd365151d42276f151c825387245dfde3dd74
org.glassfish.jersey.core:jersey-client:3.1.10
  96cf86c23b515da20a30a39633a920f12a420d1e5f02c55ef5577ca2694d11c6
jakarta.validation:jakarta.validation-api:3.0.2
  291c25e6910cc6a7ebd96d4c6baebf6d7c37676c5482c2d96146e901b62c1fc9
org.glassfish.hk2.external:aopalliance-repackaged:3.0.6
  a82b6d1a348324ef88dc807c7cd7aaf633985cbff7b30036fb61a1b86981d840
org.glassfish.hk2:hk2-api:3.0.6
  c049a21a9fd9316c7e291a2bc28835f70d25affb623dc1599a83b6b84ec83a4f
org.glassfish.hk2:hk2-utils:3.0.6
  fc84d85a0744b576d9ec7db5845eeb998ed532a9450dd19c8c922c3ee6926206
com.sun.activation:jakarta.activation:2.0.1
  b9e24b7dd6e07495562ea96531be3130c96dba4d78e1dfd88adbbdebf4332871
io.debezium:debezium-connector-postgres:3.6.1.Final
  e7bb97f00f97ec78d7c39b19e2b0797739438433b6acaa0941e18dbc2da0d854
io.debezium:debezium-connector-common:3.6.1.Final
  365a695d512b085cff2cd12e28e44a7a3e733b43bfb27f3608508d7800e2de45
io.debezium:debezium-connect-plugins:3.6.1.Final
  712d34752f945fb4062354a9faf04424dd3660411137b3bb160b0a68d4a7ee8e
org.postgresql:postgresql:42.7.11
  1981b31d3993c58702783c1cddf10a34e48c1f413d70ff1cb6def0a143484647
com.google.protobuf:protobuf-java:3.25.5
  8540247fad9e06baefa8fb45eb313802d019f485f14300e0f9d6b556ed88e753
io.debezium:debezium-api:3.6.1.Final
  893c73a44dd05b3a102830efb53b2636c63cfdf890860411dcc4969282c9544b
io.debezium:debezium-util:3.6.1.Final
  9501581790412207cda72b2b57874e0430e2f9e4c5e94a054f7b06e07c112e5f
io.debezium:debezium-config:3.6.1.Final
  0d4b6335aca11e8ba40aa00d39b23b863ef968e79d47ed7a133b9461f8218405
com.fasterxml.jackson.datatype:jackson-datatype-jsr310:2.21.2
  a083d57cd1c4a28fefcc6bd071740779eb7fc1c22a3c1b40451b5477c443f02f
io.debezium:debezium-openlineage-api:3.6.1.Final
  7e7e0fb3c3a12b3e8bfe2d42df278ff2a9fab8c58fa12199590e35fdb88b2062
com.datadoghq:sketches-java:0.8.2
  b24c3d175556eb381ef2b2f0a7dffe7cb1fb7a9f893f41260822b5ec6cb13cca
""",
)

APICURIO_VERSION = "2.6.13.Final"

AVRO_JARS = Jars(
    name=f"apicurio-converter-{APICURIO_VERSION}",
    download_bytes=3_321_455,
    # Those that neither Kafka nor Debezium has; schemas of JSON aren't written, so nothing of them.
    pins="""
io.apicurio:apicurio-registry-utils-converter:2.6.13.Final
  95392390745e31941e3f8e3565f883a2c31b9fd1d38eb0e22aac7721dd73508a
io.apicurio:apicurio-registry-serdes-avro-serde:2.6.13.Final
  71e2a474b6ef82b94d161eed801bc6570a31b324e6872e7c19e09c3b10bc3ad1
io.apicurio:apicurio-registry-serde-common:2.6.13.Final
  5f5e0e834699516be7b39ee6cdefa138a417758bbf66e28950158a7232014e76
io.apicurio:apicurio-registry-schema-resolver:2.6.13.Final
  171a974f39df803e0084c962b80b58a2e40645cb08e8297bdbbe34c2ef61a3c1
io.apicurio:apicurio-registry-client:2.6.13.Final
  3b06edde267fbf98207fcab297679b25475d62f4b31aa54612eb0e44f1804ad2
io.apicurio:apicurio-registry-common:2.6.13.Final
  1f08d5cfdf183be38f53df9e4ed72cb11f7923405ba7f2b3043f334fe6c732df
io.apicurio:apicurio-common-rest-client-jdk:0.1.18.Final
  ef1feac9226e31722444f608ad5d998e0d0753ed886a6decad19effe23d9b734
io.apicurio:apicurio-common-rest-client-common:0.1.18.Final
  7e73da0b5bd1cff35ff24f2172d41b79ef55362dbbd6104c5d5108ffed87dcd7
org.apache.avro:avro:1.12.0
  1f5fbfff9b7427d6832cc3031a3c81413d3e21d9e2551847d9231c28493f9492
org.apache.commons:commons-compress:1.26.2
  9168a03141d8fc7eda21a2360d83cc0412bcbb1d6204d992bd48c2573cb3c6b8
commons-codec:commons-codec:1.17.0
  f700de80ac270d0344fdea7468201d8b9c805e5c648331c3619f2ee067ccfc59
commons-io:commons-io:2.16.1
  f41f7baacd716896447ace9758621f62c1c6b0a91d89acee488da26fc477c84f
""",
)
