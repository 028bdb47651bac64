;; A plugin that does what `dm_testing::plugins::SamplePlugin` does. Tests
;; replace the line that ends in ";; the answer to a share" to have it do worse.
(component
  (import "datamgmt:plugin/types@1.0.0" (instance $types
    (type $node-info (record (field "node-id" string) (field "address" string)))
    (export "node-info" (type (eq $node-info)))
    (type $price (record (field "token" string) (field "amount" string)))
    (export "price" (type $the-price (eq $price)))
    (type $maybe-price (option $the-price))
    (type $share (record
      (field "data-hash" string) (field "recipient" string) (field "size" u64) (field "price" $maybe-price)))
    (export "share" (type (eq $share)))
    (type $retrieval (record (field "data-hash" string) (field "owner" string) (field "size" u64)))
    (export "retrieval" (type (eq $retrieval)))
    (type $bytes (list u8))
    (type $piece (record (field "offset" u64) (field "bytes" $bytes)))
    (export "piece" (type (eq $piece)))
    (type $event (record (field "topic" string) (field "data" string) (field "timestamp-ms" u64)))
    (export "event" (type (eq $event)))
    (type $verdict (variant (case "allow") (case "refuse" string) (case "annotate" string)))
    (export "verdict" (type (eq $verdict)))))
  (alias export $types "node-info" (type $node-info))
  (alias export $types "share" (type $share))
  (alias export $types "retrieval" (type $retrieval))
  (alias export $types "piece" (type $piece))
  (alias export $types "event" (type $event))
  (alias export $types "verdict" (type $verdict))

  (import "datamgmt:plugin/store@1.0.0" (instance $store
    (export "set" (func (param "key" string) (param "value" (list u8)) (result (result (error string)))))))
  (import "datamgmt:plugin/node@1.0.0" (instance $node
    (export "health" (func (result (result string (error string)))))))
  (import "datamgmt:plugin/http@1.0.0" (instance $http
    (type $headers (list (tuple string string)))
    (type $bytes (list u8))
    (type $request (record
      (field "method" string) (field "url" string) (field "headers" $headers) (field "body" $bytes)))
    (export "request" (type $the-request (eq $request)))
    (type $response (record (field "status" u16) (field "headers" $headers) (field "body" $bytes)))
    (export "response" (type $the-response (eq $response)))
    (export "send" (func (param "request" $the-request) (result (result $the-response (error string)))))))

  ;; Memory that grows at its end and is free again after each call.
  (core module $Heap
    (memory (export "memory") 1)
    (global $base (mut i32) (i32.const 1024))
    (global $top (mut i32) (i32.const 1024))
    (func (export "realloc") (param $old i32) (param $old-len i32) (param $align i32) (param $len i32) (result i32)
      (local $at i32)
      (local.set $at
        (i32.and
          (i32.add (global.get $top) (i32.sub (local.get $align) (i32.const 1)))
          (i32.sub (i32.const 0) (local.get $align))))
      (global.set $top (i32.add (local.get $at) (local.get $len)))
      (loop $more
        (if (i32.gt_u (global.get $top) (i32.mul (memory.size) (i32.const 65536)))
          (then
            (if (i32.eq (memory.grow (i32.const 1)) (i32.const -1)) (then unreachable))
            (br $more))))
      (local.get $at))
    (func (export "keep") (global.set $base (global.get $top)))
    (func (export "free") (global.set $top (global.get $base))))
  (core instance $heap (instantiate $Heap))
  (alias core export $heap "memory" (core memory $memory))
  (alias core export $heap "realloc" (core func $realloc))

  (core func $store-set (canon lower (func $store "set") (memory $memory) (realloc $realloc)))
  (core func $node-health (canon lower (func $node "health") (memory $memory) (realloc $realloc)))
  (core func $http-send (canon lower (func $http "send") (memory $memory) (realloc $realloc)))

  (core module $Plugin
    (import "heap" "memory" (memory 1))
    (import "heap" "keep" (func $keep))
    (import "heap" "free" (func $free))
    (import "node" "set" (func $set (param i32 i32 i32 i32 i32)))
    (import "node" "health" (func $health (param i32)))
    (import "node" "send" (func $send (param i32 i32 i32 i32 i32 i32 i32 i32 i32)))
    (global $settings (mut i32) (i32.const 0))
    (global $settings-len (mut i32) (i32.const 0))
    (data (i32.const 100) "size 1size 2lastPOST")

    ;; A verdict stands at 16: its case, and place and length of its text.
    (func $verdict (param $case i32) (param $text i32) (param $len i32) (result i32)
      (i32.store8 (i32.const 16) (local.get $case))
      (i32.store (i32.const 20) (local.get $text))
      (i32.store (i32.const 24) (local.get $len))
      (i32.const 16))
    (func $answer (param $size i64) (result i32)
      (if (i64.eq (local.get $size) (i64.const 1))
        (then (return (call $verdict (i32.const 1) (i32.const 100) (i32.const 6)))))
      (if (i64.eq (local.get $size) (i64.const 2))
        (then (return (call $verdict (i32.const 2) (i32.const 106) (i32.const 6)))))
      (if (i64.eq (local.get $size) (i64.const 3)) (then unreachable))
      (if (i64.eq (local.get $size) (i64.const 4)) (then (loop $ever (br $ever))))
      (call $verdict (i32.const 0) (i32.const 0) (i32.const 0)))

    ;; Notes what the node says of its health.
    (func $ask-node (result i32)
      (call $health (i32.const 40))
      (call $verdict (i32.const 2) (i32.load (i32.const 44)) (i32.load (i32.const 48))))
    ;; Posts nothing to the URL in the settings, which are {"url":"..."}, and
    ;; notes the answer, or why there is none.
    (func $ask-web (result i32)
      (call $send
        (i32.const 116) (i32.const 4)
        (i32.add (global.get $settings) (i32.const 8)) (i32.sub (global.get $settings-len) (i32.const 10))
        (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 40))
      (if (result i32) (i32.load8_u (i32.const 40))
        (then (call $verdict (i32.const 2) (i32.load (i32.const 44)) (i32.load (i32.const 48))))
        (else (call $verdict (i32.const 2) (i32.load (i32.const 56)) (i32.load (i32.const 60))))))
    ;; Calls itself without end.
    (func $deeper (result i32) (i32.add (call $deeper) (i32.const 1)))
    ;; Takes all memory that it gets, and refuses with a text of that length.
    (func $grow (result i32)
      (loop $more (br_if $more (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
      (call $verdict (i32.const 1) (i32.const 0) (i32.mul (memory.size) (i32.const 65536))))

    (func (export "initialize") (param i32 i32 i32 i32) (param $text i32) (param $len i32) (result i32)
      (global.set $settings (local.get $text))
      (global.set $settings-len (local.get $len))
      (call $keep)
      (i32.store8 (i32.const 16) (i32.const 0))
      (i32.const 16))
    (func (export "shutdown"))
    (func (export "on-event") (param $topic i32) (param $len i32) (param i32 i32 i64)
      (call $set (i32.const 112) (i32.const 4) (local.get $topic) (local.get $len) (i32.const 40))
      (if (i32.load8_u (i32.const 40)) (then unreachable)))
    (func (export "before-share")
      (param i32 i32 i32 i32) (param $size i64) (param i32 i32 i32 i32 i32) (result i32)
      (call $answer (local.get $size)) ;; the answer to a share
    )
    (func (export "examine") (param i64 i32) (param $len i32) (result i32)
      (call $answer (i64.extend_i32_u (local.get $len))))
    (func (export "before-retrieval") (param i32 i32 i32 i32) (param $size i64) (result i32)
      (call $answer (local.get $size)))
    ;; The data stands at the place that it gets, its size behind two texts.
    (func (export "before-receive") (param $data i32) (result i32)
      (call $answer (i64.load offset=16 (local.get $data))))
    (func (export "free") (param i32) (call $free))
    (func (export "free-event") (call $free)))
  (core instance $plugin (instantiate $Plugin
    (with "heap" (instance $heap))
    (with "node" (instance
      (export "set" (func $store-set))
      (export "health" (func $node-health))
      (export "send" (func $http-send))))))

  (func (export "initialize")
    (param "node" $node-info) (param "settings" string) (result (result (error string)))
    (canon lift (core func $plugin "initialize") (memory $memory) (realloc $realloc)))
  (func (export "shutdown") (canon lift (core func $plugin "shutdown")))
  (func (export "on-event") (param "event" $event)
    (canon lift (core func $plugin "on-event") (memory $memory) (realloc $realloc)
      (post-return (core func $plugin "free-event"))))
  (func (export "before-share") (param "share" $share) (result $verdict)
    (canon lift (core func $plugin "before-share") (memory $memory) (realloc $realloc)
      (post-return (core func $plugin "free"))))
  (func (export "examine") (param "piece" $piece) (result $verdict)
    (canon lift (core func $plugin "examine") (memory $memory) (realloc $realloc)
      (post-return (core func $plugin "free"))))
  (func (export "before-retrieval") (param "retrieval" $retrieval) (result $verdict)
    (canon lift (core func $plugin "before-retrieval") (memory $memory) (realloc $realloc)
      (post-return (core func $plugin "free"))))

  ;; The hook `receive`, which earlier plugins do not have
  (type $stage (enum "listing" "fetch"))
  (type $text-or-none (option string))
  (type $labels (list (tuple string string)))
  (type $received (record
    (field "data-hash" string) (field "owner" string) (field "size" u64) (field "anchored" bool)
    (field "name" $text-or-none) (field "media-type" $text-or-none) (field "labels" $labels)
    (field "correlation-id" $text-or-none) (field "supersedes" $text-or-none) (field "stage" $stage)))
  (func $before-receive (param "data" $received) (result $verdict)
    (canon lift (core func $plugin "before-receive") (memory $memory) (realloc $realloc)
      (post-return (core func $plugin "free"))))
  ;; Gives the types their names.
  (component $Receiving
    (type $stage (enum "listing" "fetch"))
    (import "a-stage" (type $a-stage (eq $stage)))
    (type $text-or-none (option string))
    (type $labels (list (tuple string string)))
    (type $received (record
      (field "data-hash" string) (field "owner" string) (field "size" u64) (field "anchored" bool)
      (field "name" $text-or-none) (field "media-type" $text-or-none) (field "labels" $labels)
      (field "correlation-id" $text-or-none) (field "supersedes" $text-or-none) (field "stage" $a-stage)))
    (import "a-received" (type $a-received (eq $received)))
    (type $verdict (variant (case "allow") (case "refuse" string) (case "annotate" string)))
    (import "a-verdict" (type $a-verdict (eq $verdict)))
    (import "a-function" (func $function (param "data" $a-received) (result $a-verdict)))
    (export $the-stage "stage" (type $stage))
    (type $named (record
      (field "data-hash" string) (field "owner" string) (field "size" u64) (field "anchored" bool)
      (field "name" $text-or-none) (field "media-type" $text-or-none) (field "labels" $labels)
      (field "correlation-id" $text-or-none) (field "supersedes" $text-or-none) (field "stage" $the-stage)))
    (export $the-received "received" (type $named))
    (export $the-verdict "verdict" (type $a-verdict))
    (export "before-receive" (func $function) (func (param "data" $the-received) (result $the-verdict))))
  (instance $receiving (instantiate $Receiving
    (with "a-stage" (type $stage))
    (with "a-received" (type $received))
    (with "a-verdict" (type $verdict))
    (with "a-function" (func $before-receive))))
  (export "datamgmt:plugin/receiving@1.0.0" (instance $receiving)))
