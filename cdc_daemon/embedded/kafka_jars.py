"""Which libraries make the Kafka broker."""

from __future__ import annotations

from cdc_daemon.embedded.jars import Jars

KAFKA_VERSION = "4.2.0"

KAFKA = Jars(
    name=f"kafka-{KAFKA_VERSION}",
    download_bytes=44_916_453,
    # The broker, what its POM asks for, and at the end what writes its log.
    pins="""
org.apache.kafka:kafka_2.13:4.2.0
  0490bc0a8675f9217c52b788c8a586f692ad5ae34a50a3ed370d2533b01bdbcb
org.apache.kafka:kafka-clients:4.2.0
  bcf39f152c5553c2501a491fc4a73c5b0330741e8eed96a481323b8ee89738af
org.scala-lang:scala-library:2.13.17
  b7822c4225243215f185925724a6edff92cf18777a136cc738276c4446fac76c
org.apache.kafka:kafka-server-common:4.2.0
  e99890e8e09784e4d84f9295db4012c73cde6c2cddba0a4e104cb102e18e4aa0
org.apache.kafka:kafka-group-coordinator-api:4.2.0
  7d3329e5696d48d84ebd0f7f25c4b27c14e397eb013d8a6113ce38d8e043c2aa
org.apache.kafka:kafka-group-coordinator:4.2.0
  6038093c1823c622a71825297aa03881d66b7df15213cb3a5e930cc36c32d1fb
org.apache.kafka:kafka-transaction-coordinator:4.2.0
  1f337382004c3f0213845af939564aeb87f5973d0cce42b912e2d5b8dcf80b69
org.apache.kafka:kafka-metadata:4.2.0
  55fd69178bd1679ae484226e76d78556445e8d8668c03b511f351cf154bec845
org.apache.kafka:kafka-storage-api:4.2.0
  188cf7523cf3684913c645007b8e442b3934badfbf9082a3a0572172cc9f1214
org.apache.kafka:kafka-tools-api:4.2.0
  0b0b73e897dfe87c2505695d72cacc5239aa15e9c8302ac918dc0705c30e70e9
org.apache.kafka:kafka-raft:4.2.0
  206c9580c4a9dde784e36508cdb1b020debb5a49b465712958e05cd6cc4da256
org.apache.kafka:kafka-storage:4.2.0
  46316f7e8b3be51d83e0f2be63f6f4e61d7f19df1379fd0efe74c14c10582082
org.apache.kafka:kafka-server:4.2.0
  907c4c0ec05b99d311ab945be9747d5ac6f1697702529a8be55022126ca3742e
org.apache.kafka:kafka-coordinator-common:4.2.0
  75c9ce733dd11759ef19f05d21af6397bacbf86dde83551ba46ecde51da1674d
org.apache.kafka:kafka-share-coordinator:4.2.0
  0f5f3e3561c8102a4f45399d028a36e70e7947cb1393cd98394e22ed7618852e
net.sourceforge.argparse4j:argparse4j:0.7.0
  65ceb669d88f63306c680f8088bbf765bbca72d288a61a03703000076c3d3f56
commons-validator:commons-validator:1.10.1
  ed74711a78d793ca37f6075e4a1e93d107233dfd20d0bb17e32bad88d38e56aa
com.fasterxml.jackson.core:jackson-databind:2.19.2
  0a1bd4e9b0d670e632d40ee8c625ad376233502f03c2f5889baea95d025b47a7
com.fasterxml.jackson.dataformat:jackson-dataformat-csv:2.19.2
  00a733ae8d1eadefefbef22dd2a2565b665e687864a11db3fad3487bb9448905
com.fasterxml.jackson.datatype:jackson-datatype-jdk8:2.19.2
  6055fef10756e8bd1b0e8807aa1d881338c63ca95d59271e1da4922b9a17581e
com.fasterxml.jackson.dataformat:jackson-dataformat-yaml:2.19.2
  80a213e7d998244922ab7bcf0938ea03eb7868e88e2d05a8407c6228c885a37e
net.sf.jopt-simple:jopt-simple:5.0.4
  df26cc58f235f477db07f753ba5a3ab243ebe5789d9f89ecf68dd62ea9a66c28
org.bitbucket.b_c:jose4j:0.9.6
  7314af50cde9c99e8eaf43eee617a23edcc6bb43036221064355094999d837ef
com.yammer.metrics:metrics-core:2.2.0
  6b7a14a6f34c10f8683f7b5e2f39df0f07b58c7dff0e468ebbc713905c46979c
org.scala-lang:scala-reflect:2.13.17
  734533897bcfabe7a6e7fa09dbee165b257b0396e14e8a57c75111db8e04bb98
com.typesafe.scala-logging:scala-logging_2.13:3.9.6
  0ad0c3f4d89d538b3b6c300158555e266aa69cf1b5f6522aba8b5bad238eb994
org.slf4j:slf4j-api:1.7.36
  d3ef575e3e4979678dc01bf1dcce51021493b4d11fb7f1be8ad982877c16a1c0
com.google.re2j:re2j:1.8
  7b52c72156dd7f98b3237a5b35c1d34fba381b21048c89208913ad80a45dfbd7
com.github.luben:zstd-jni:1.5.6-10
  b6c3237e24b8252a5a9c3a0e1ae30ef8f323412e74bd358548b7a9e527d676df
at.yawk.lz4:lz4-java:1.10.1
  a58a84c4271e50df4c96ed916ccb7e48a869f8ed9cdcda1ad5d3d4c33b0214a3
org.xerial.snappy:snappy-java:1.1.10.7
  4c766cb3f855415ee734b2392949a0b6f12a60879334a74518deaf6270d32e36
org.pcollections:pcollections:4.0.2
  2bbeef5797a241300c4f7513cd546239629ed7deda4fc0c31df90bb95f5f13ef
org.hdrhistogram:HdrHistogram:2.2.2
  22d1d4316c4ec13a68b559e98c8256d69071593731da96136640f864fa14fad8
com.dynatrace.hash4j:hash4j:0.22.0
  23028a3fd006e530bf495f551083208187cafd8f80624d048eba56442f16a50e
com.github.ben-manes.caffeine:caffeine:3.2.0
  ec411dfdf0c03f25218648ce89861630b71680e5858a9a7278ebac8e55cab3d7
org.apache.logging.log4j:log4j-api:2.25.3
  e886682920fa0fb9d6eb6395dcb4de088443f8646c89c5e5846e168e327f406f
org.apache.logging.log4j:log4j-core:2.25.3
  362b7fcb65b73aa46cc4bc53abf4eb216f444a83b5d1a037cb6fdfff0ae9f0f9
commons-beanutils:commons-beanutils:1.11.0
  9e44ba68ec9a3f21286fa2a8bbb003b735c0f69101bb43144b79f4f8aaa74709
commons-digester:commons-digester:2.1
  e0b2b980a84fc6533c5ce291f1917b32c507f62bcad64198fff44368c2196a3d
commons-logging:commons-logging:1.3.5
  6d7a744e4027649fbb50895df9497d109f98c766a637062fe8d2eabbb3140ba4
commons-collections:commons-collections:3.2.2
  eeeae917917144a68a741d4c0dff66aa5c5c5fd85593ff217bced3fc8ca783b8
com.fasterxml.jackson.core:jackson-annotations:2.19.2
  e516743a316dcf83c572ffc9cb6e8c5e8c134880c8c5155b02f7b34e9c5dc3cf
com.fasterxml.jackson.core:jackson-core:2.19.2
  aa77eaf29293a868c47372194f7c5287d77d9370b04ea25d3fffc1e4904b5880
org.yaml:snakeyaml:2.4
  ef779af5d29a9dde8cc70ce0341f5c6f7735e23edff9685ceaa9d35359b7bb7f
org.jspecify:jspecify:1.0.0
  1fad6e6be7557781e4d33729d49ae1cdc8fdda6fe477bb0cc68ce351eafdfbab
org.slf4j:slf4j-simple:1.7.36
  2f39bed943d624dfa8f4102d0571283a10870b6aa36f197a8a506f147010c10f
""",
)
