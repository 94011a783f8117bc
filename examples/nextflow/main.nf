// Predicts the images of a folder in params.parts tasks:
//   nextflow run main.nf --model MODEL_FOLDER --images FOLDER --outdir FOLDER
params.parts = 4
params.fold = 'all'

process PREDICT {
    publishDir params.outdir, mode: 'copy'

    input:
    path model, stageAs: 'model'
    path images, stageAs: 'images'
    val part

    output:
    path 'out/*.nii.gz', optional: true

    script:
    """
    nnunet predict_from_modelfolder -m model -i images -o out -f ${params.fold} -num_parts ${params.parts} -part_id ${part}
    """
}

workflow {
    PREDICT(file(params.model), file(params.images), Channel.of(0..(params.parts as int) - 1))
}
