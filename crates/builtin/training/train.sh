#!/bin/sh
# One command, seeded:  sh train.sh WORKDIR OUTDIR MERGES.TXT [BASE.safetensors]
# Makes weft-tiny.safetensors (left out if BASE is given) and then the two variants' UNets, and measures them.
# MERGES.TXT is the merge list of the CLIP tokenizer. Needs Python 3.11 with requirements.txt.
# On two quiet cores: perhaps 70 minutes for the base and 80 for the variants (estimates; see README.md).
set -e
W=$1; O=$2; BASE=$4; mkdir -p "$W" "$O"
export MALLOC_MMAP_THRESHOLD_=33554432 MALLOC_TRIM_THRESHOLD_=2000000000
[ "$3" -ef "$W/merges.txt" ] || cp "$3" "$W/merges.txt"
W=$(cd "$W" && pwd); O=$(cd "$O" && pwd)
[ -z "$BASE" ] || BASE=$(cd "$(dirname "$BASE")" && pwd)/$(basename "$BASE")
cd "$(dirname "$0")"
if [ -z "$BASE" ]; then
    [ -f "$W/imgs.npy" ] || python prepare.py "$W" ${PICTURES:-24000} "$W/merges.txt"
    python train_vae.py "$W" --steps ${VAE_STEPS:-2000}
    python train_unet.py "$W" --stages ${STAGES:-780:64:96,1950:128:48}
    python tune_decoder.py "$W" "$W/vae_tuned.pt" --steps ${DEC_STEPS:-1400}
    mv "$W/vae_tuned.pt" "$W/vae_train.pt"
    python export.py "$W" "$O"
    BASE=$O/weft-tiny.safetensors
    [ -n "$NO_VERIFY" ] || python verify.py "$BASE" "$W" "$O/sheets" --n 200
fi
# one thread each: on two cores the two runs side by side are quicker than one after the other with two threads
for V in instruct inpaint; do
    OMP_NUM_THREADS=1 python train_variants.py $V "$BASE" "$W/merges.txt" "$W" --steps ${VARIANT_STEPS:-3000} --size ${VARIANT_SIZE:-1600} > "$W/$V.log" 2>&1 &
    eval "P_$V=$!"
done
wait $P_instruct
wait $P_inpaint
for V in instruct inpaint; do
    python export_variants.py $V "$W" "$O"
    python evaluate_variants.py $V "$BASE" "$W/merges.txt" "$O/weft-tiny-$V.unet.safetensors" "$O/sheets" --n ${N:-150}
done
