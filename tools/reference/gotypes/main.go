// Command gotypes prints types.json: every API type of one Kubernetes version as Go's encoders see it, which no
// server tells: the order of fields, omitempty, pointers, protobuf numbers, and the names that Go's decoder gives
// types in errors.
//
// Form: {"kinds": {"group/version/Kind": type}, "types": {type: [[JSON name, flags, type, number, named], …]}}, where
// flags are e omitempty, z omitzero, i inline, and named is the decoder's name of a type that the third element
// does not tell ("" otherwise).
package main

import (
	"encoding/json"
	"os"
	"reflect"
	"strconv"
	"strings"

	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	apiregistration "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
)

type field [5]any

var types = map[string][]field{}

func main() {
	for _, add := range []func(*runtime.Scheme) error{apiextensions.AddToScheme, apiregistration.AddToScheme} {
		if err := add(scheme.Scheme); err != nil {
			panic(err)
		}
	}
	for _, unregistered := range []any{meta.Table{}, meta.PartialObjectMetadataList{}} {
		record(reflect.TypeOf(unregistered))
	}
	kinds := map[string]string{}
	for gvk, t := range scheme.Scheme.AllKnownTypes() {
		record(t)
		if gvk.Version == runtime.APIVersionInternal || metaKind(gvk.Kind, t) {
			continue
		}
		kinds[strings.TrimPrefix(gvk.GroupVersion().String()+"/"+gvk.Kind, "/")] = name(t)
	}
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(map[string]any{"kinds": kinds, "types": types}); err != nil {
		panic(err)
	}
}

// metaKind tells the types that every group version registers beside its own.
func metaKind(kind string, t reflect.Type) bool {
	return strings.HasSuffix(kind, "Options") || kind == "WatchEvent" || kind == "InternalEvent" ||
		strings.HasSuffix(t.PkgPath(), "/watch")
}

func name(t reflect.Type) string {
	return strings.TrimPrefix(t.PkgPath()+"."+t.Name(), "k8s.io/")
}

func record(t reflect.Type) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Map {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || t.PkgPath() == "time" {
		return
	}
	if _, seen := types[name(t)]; seen {
		return
	}
	types[name(t)] = []field{}
	fields := []field{}
	for i := 0; i < t.NumField(); i++ {
		f := t.Field(i)
		tag := strings.Split(f.Tag.Get("json"), ",")
		if tag[0] == "-" || (!f.IsExported() && !f.Anonymous) || f.Type.PkgPath() == "gopkg.in/inf.v0" {
			continue
		}
		flags := ""
		for _, option := range tag[1:] {
			switch option {
			case "omitempty":
				flags += "e"
			case "omitzero":
				flags += "z"
			case "inline":
				flags += "i"
			}
		}
		if f.Anonymous && tag[0] == "" && !strings.Contains(flags, "i") {
			flags += "i"
		}
		fields = append(fields, field{tag[0], flags, describe(f.Type), number(f.Tag.Get("protobuf")), named(f.Type)})
		record(f.Type)
	}
	types[name(t)] = fields
}

func number(tag string) int {
	parts := strings.Split(tag, ",")
	if len(parts) < 2 {
		return 0
	}
	n, _ := strconv.Atoi(parts[1])
	return n
}

func describe(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Pointer:
		return "*" + describe(t.Elem())
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return "bytes"
		}
		return "[]" + describe(t.Elem())
	case reflect.Map:
		return "map[string]" + describe(t.Elem())
	case reflect.Interface:
		return "interface"
	case reflect.Struct:
		if t.PkgPath() == "time" {
			return "time.Time"
		}
		return name(t)
	case reflect.Int:
		return "int64"
	default:
		return t.Kind().String()
	}
}

// plain is the decoder's name of a type whose named parts are structs only.
func plain(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Slice:
		return "[]" + plain(deref(t.Elem()))
	case reflect.Map:
		return "map[string]" + plain(deref(t.Elem()))
	case reflect.Struct, reflect.Interface:
		return t.String()
	default:
		return t.Kind().String()
	}
}

func named(t reflect.Type) string {
	if t = deref(t); t.String() != plain(t) {
		return t.String()
	}
	return ""
}

func deref(t reflect.Type) reflect.Type {
	if t.Kind() == reflect.Pointer {
		return t.Elem()
	}
	return t
}
